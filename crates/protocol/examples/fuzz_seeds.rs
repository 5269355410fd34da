//! Writes the golden frames as seeds of the fuzz targets: `fuzz/corpus/TARGET/`, which is not committed.

use std::fs;
use std::io;
use std::path::Path;

use hubbub_protocol::Codec;

fn main() -> io::Result<()> {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in fs::read_dir(crate_folder.join("golden"))? {
        let path = entry?.path();
        let Some(name) = path.file_stem().and_then(|name| name.to_str()) else { continue };
        let tree: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
        let [json, packed] = Codec::ALL.map(|codec| codec.encode(&tree));
        let targets: &[(&str, &str, &[u8])] = if name.starts_with("command.") {
            &[("decode_json", "json", &json), ("decode_messagepack", "msgpack", &packed)]
        } else {
            &[("server_decode", "json", &json), ("server_decode", "msgpack", &packed)]
        };
        for (target, ending, bytes) in targets {
            let corpus = crate_folder.join("fuzz/corpus").join(target);
            fs::create_dir_all(&corpus)?;
            fs::write(corpus.join(format!("{name}.{ending}")), bytes)?;
        }
    }
    Ok(())
}
