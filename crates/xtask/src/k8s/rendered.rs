//! One combination of values, rendered: its objects, and the configuration in it as the binary sees it.
//!
//! Must never understand YAML: an object's kind and a block of text are found by the form in which Helm prints them.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::k8s::helm::Helm;
use crate::project::Project;

/// Where the chart puts the files of secrets; and of what else a configuration names.
const SECRETS_FOLDER: &str = "/run/secrets/hubbub/";
const MOUNTED_FOLDERS: [&str; 4] =
    [SECRETS_FOLDER, "/run/secrets/hubbub-tls/", "/etc/hubbub-redis-ca/", "/etc/hubbub/"];

/// One object of a rendered chart.
pub(super) struct Object {
    /// The template that it comes from, without folder and ending.
    pub(super) source: String,
    pub(super) kind: String,
    pub(super) text: String,
}

/// A rendered combination.
pub(super) struct Rendered {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) objects: Vec<Object>,
}

impl Rendered {
    /// Renders the chart with the values of this file.
    pub(super) fn new(helm: &Helm<'_>, values: &Path) -> Result<Self> {
        let name = values.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = helm.template(values).with_context(|| format!("{} does not render", values.display()))?;
        let objects = objects(&text).with_context(|| name.clone())?;
        ensure!(!objects.is_empty(), "{name}: nothing was rendered");
        Ok(Self { name, text, objects })
    }

    /// The block of this name in the first ConfigMap that has it.
    pub(super) fn config_file(&self, file: &str) -> Option<String> {
        let maps = self.objects.iter().filter(|object| object.kind == "ConfigMap");
        maps.filter_map(|object| block(&object.text, file)).next()
    }
}

/// The objects of what Helm printed.
fn objects(text: &str) -> Result<Vec<Object>> {
    let mut objects = Vec::new();
    for part in format!("\n{text}").split("\n---\n").map(str::trim_end).filter(|part| !part.trim().is_empty()) {
        let field = |name: &str| part.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let Some(kind) = field("kind:") else {
            ensure!(part.lines().all(|line| line.starts_with('#') || line.trim().is_empty()), "no object: {part}");
            continue;
        };
        let source = field("# Source:").and_then(|path| Path::new(path).file_stem()?.to_str());
        let source = source.context("an object without its source")?.to_owned();
        objects.push(Object { source, kind: kind.to_owned(), text: part.trim_start().to_owned() });
    }
    Ok(objects)
}

/// The lines of the block `NAME: |`, without their indentation.
fn block(text: &str, name: &str) -> Option<String> {
    let mut lines = text.lines().skip_while(|line| line.trim() != format!("{name}: |"));
    let first = lines.next()?;
    let depth = first.len() - first.trim_start().len() + 2;
    let lines = lines.take_while(|line| line.trim().is_empty() || line.len() - line.trim_start().len() >= depth);
    Some(lines.map(|line| format!("{}\n", line.get(depth..).unwrap_or_default())).collect())
}

/// Lets the binary judge every configuration: `hubbub config check` with files in the places of the mounted ones.
pub(super) fn check_configurations(project: &Project, combinations: &[Rendered]) -> Result<()> {
    let binary = project.build_hubbub(false)?;
    let folder = project.target.join("k8s").join("configurations");
    fs::create_dir_all(&folder)?;
    for rendered in combinations {
        let text = rendered.config_file("hubbub.toml").with_context(|| format!("{}: no hubbub.toml", rendered.name))?;
        let own = folder.join(&rendered.name);
        fs::create_dir_all(&own)?;
        let mut local = text.clone();
        for mounted in MOUNTED_FOLDERS {
            local = local.replace(mounted, &format!("{}/", own.display()));
        }
        plant_files(rendered, &text, &own)?;
        let file = own.join("hubbub.toml");
        fs::write(&file, &local)?;
        let checked = Command::new(&binary).args(["config", "check", "--config"]).arg(&file).env_clear().output()?;
        // A warning means that the chart decided something that its users would have to put right.
        let said = String::from_utf8_lossy(&checked.stderr);
        if !checked.status.success() || said.contains("warning") {
            bail!("{}: {}\n{local}", rendered.name, said.trim());
        }
    }
    println!("  {} configurations accepted by the binary without a warning", combinations.len());
    Ok(())
}

/// Puts something of the right form where the configuration looks for files.
fn plant_files(rendered: &Rendered, text: &str, folder: &Path) -> Result<()> {
    for (file, content) in [
        ("database-url", "postgres://hubbub:secret@db/hubbub"),
        ("database-replica-url", "postgres://hubbub:secret@replica/hubbub"),
        ("redis-url", if text.contains("ca_file") { "rediss+cluster://r:6379" } else { "redis://r:6379" }),
        ("redis-publish-urls", "rediss://a:6379,rediss://b:6379"),
        ("redis-sentinel-password", "secret"),
        ("auth-token-secret", "0123456789abcdef0123456789abcdef"),
        ("auth-token-secret-other", "fedcba9876543210fedcba9876543210"),
        ("tls.crt", ""),
        ("tls.key", ""),
    ] {
        fs::write(folder.join(file), content)?;
    }
    if text.contains("redis-sentinel-password") {
        fs::write(folder.join("redis-url"), "redis+sentinel://s:26379/main")?;
    }
    let authorities = ["/etc/ssl/certs/ca-certificates.crt"].into_iter().find_map(|path| fs::read(path).ok());
    fs::write(folder.join("ca.crt"), authorities.unwrap_or_default())?;
    if let Some(key) = rendered.config_file("token-public-key.pem") {
        fs::write(folder.join("token-public-key.pem"), key)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "---\n# Source: hubbub/templates/config-map.yaml\napiVersion: v1\nkind: ConfigMap\ndata:\n  \
        a.toml: |\n    x = 1\n\n    [b]\n    y = 2\n  other: z\n---\n# Source: hubbub/templates/demo.yaml\n---\n# Source: \
        hubbub/templates/service.yaml\nkind: Service\nspec:\n  kind: no\n";

    #[test]
    fn objects_are_told_apart_and_empty_ones_are_left_out() {
        let found = objects(PRINTED).expect("objects");
        let names: Vec<_> = found.iter().map(|object| (object.source.as_str(), object.kind.as_str())).collect();
        assert_eq!(names, [("config-map", "ConfigMap"), ("service", "Service")]);
    }

    #[test]
    fn a_block_ends_where_its_indentation_does() {
        assert_eq!(block(PRINTED, "a.toml").expect("a block"), "x = 1\n\n[b]\ny = 2\n");
        assert_eq!(block(PRINTED, "b.toml"), None);
    }
}
