//! `hubbub check`.
//!
//! Must never mend what it finds.

use hubbub_store::{Checked, Defect, check};
use serde_json::{Map, Value, json};

use super::output::{print, print_json};
use super::progress::Shown;
use super::settings::Settings;
use crate::failure::Failure;

#[derive(clap::Args)]
pub(super) struct Options {
    /// So many defects are told one by one; all are counted.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: usize,
    /// For programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

pub(super) async fn run(options: Options) -> Result<(), Failure> {
    let config = options.settings.direct_database()?;
    let mut shown = Shown::new();
    let mut defects = Vec::new();
    let mut found = |defect: &Defect| {
        if defects.len() < options.limit {
            defects.push(defect.clone());
        }
    };
    let checked = check(config.database.url.expose(), &mut found, &mut |progress| shown.tell(progress)).await;
    shown.end();
    let checked = checked?;
    if options.json {
        print_json(&as_json(&checked, &defects))?;
    } else {
        print_defects(&checked, &defects)?;
    }
    if let Some(newer) = &checked.newer {
        eprintln!("a newer version of hubbub has added to the database ({newer}): that was not checked");
    }
    match checked.defects_total() {
        0 => {
            let rows: u64 = checked.rows.iter().map(|(_, rows)| rows).sum();
            eprintln!("nothing is wrong: {rows} rows checked in {:.2} s", checked.took.as_secs_f64());
            Ok(())
        }
        1 => Err(Failure::Refused("one defect found".to_owned())),
        count => Err(Failure::Refused(format!("{count} defects found"))),
    }
}

fn print_defects(checked: &Checked, defects: &[Defect]) -> Result<(), Failure> {
    let mut text: String = defects.iter().map(|defect| format!("{defect}\n")).collect();
    let untold = checked.defects_total().saturating_sub(defects.len() as u64);
    if untold > 0 {
        text.push_str(&format!("and {untold} more\n"));
    }
    for (kind, count) in &checked.defects {
        text.push_str(&format!("{count} {}: {}\n", kind.as_str(), kind.meaning()));
    }
    if text.is_empty() { Ok(()) } else { print(&text) }
}

fn as_json(checked: &Checked, defects: &[Defect]) -> Value {
    let rows: Map<_, _> = checked.rows.iter().map(|(table, rows)| ((*table).to_owned(), json!(rows))).collect();
    let counts: Map<_, _> =
        checked.defects.iter().map(|(kind, count)| (kind.as_str().to_owned(), json!(count))).collect();
    let found = defects.iter().map(|defect| {
        json!({
            "kind": defect.kind.as_str(),
            "room": defect.room,
            "seq": defect.seq,
            "user": defect.user,
            "text": defect.text,
        })
    });
    json!({
        "epoch": checked.epoch,
        "rows": rows,
        "defects": checked.defects_total(),
        "counts": counts,
        "found": found.collect::<Vec<_>>(),
        "newer_migration": checked.newer,
        "seconds": checked.took.as_secs_f64(),
    })
}
