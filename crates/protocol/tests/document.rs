//! `docs/protocol.md` is the document that the types, the golden files and the prose make, and says all of it.

#[path = "../examples/protocol_md/render.rs"]
mod render;

use std::path::Path;

use hubbub_protocol::{CloseCode, Command, ErrorCode, RoomEventData, SessionEventData};

#[test]
fn the_committed_document_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    let rendered = render::document();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &rendered).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(committed.trim_end() == rendered.trim_end(), "out of date: run `cargo xtask generate`");
}

#[test]
fn every_name_and_code_has_its_entry() {
    let document = render::document();
    let headed = Command::NAMES.iter().chain(RoomEventData::NAMES).chain(SessionEventData::NAMES);
    for name in headed {
        assert!(document.contains(&format!("\n### {name}\n")), "{name}");
        assert!(document.contains(&format!("\"{name}\"")), "no frame shows {name}");
    }
    for code in ErrorCode::ALL {
        assert!(document.contains(&format!("\n| {} | `{}` |", code.code(), code.name())), "{code:?}");
    }
    for code in CloseCode::ALL {
        assert!(document.contains(&format!("\n| {} | `{}` |", code.code(), code.name())), "{code:?}");
    }
}

/// Every link within the document leads to a heading.
#[test]
fn no_link_is_dead() {
    let document = render::document();
    let anchor = |heading: &str| -> String {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|char| char.is_alphanumeric() || matches!(char, '-' | '_')).collect()
    };
    let anchors: Vec<_> = document
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .collect();
    for link in document.split("](#").skip(1).filter_map(|rest| rest.split_once(')')) {
        assert!(anchors.iter().any(|anchor| anchor == link.0), "#{} leads nowhere", link.0);
    }
}
