//! The frame of a page: its style, tiles, tables.
//!
//! Must never load anything: no script, no font, no picture from elsewhere. All text is escaped here.

use super::plot::escape;

const STYLE: &str = "
:root{color-scheme:light dark;--ground:#fff;--panel:#f6f8fa;--text:#1f2328;--soft:#59636e;--line:#d1d9e0;--good:#1a7f37;--bad:#c62f37;--warn:#9a6700}
@media(prefers-color-scheme:dark){:root{--ground:#0d1117;--panel:#151b23;--text:#e6edf3;--soft:#9198a1;--line:#30363d;--good:#3fb950;--bad:#f85149;--warn:#d29922}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1180px;padding:32px 24px 64px;background:var(--ground);color:var(--text);font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}
h1{font-size:26px;line-height:1.25;margin:0 0 4px}
h2{font-size:19px;margin:40px 0 12px;padding-bottom:6px;border-bottom:1px solid var(--line)}
h3{font-size:15px;margin:20px 0 8px}
p{margin:6px 0}.soft{color:var(--soft)}
code,pre{font:13px/1.5 ui-monospace,'SF Mono','DejaVu Sans Mono',monospace}
pre{background:var(--panel);border:1px solid var(--line);border-radius:8px;padding:12px 14px;white-space:pre-wrap;overflow-wrap:anywhere;margin:8px 0}
.verdict{border:1px solid var(--line);border-left:6px solid;border-radius:8px;background:var(--panel);padding:16px 20px;margin:20px 0;font-size:20px;font-weight:650;overflow-wrap:anywhere}
.verdict small{display:block;font-size:14px;font-weight:400;color:var(--text);margin-top:4px}
.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}
.verdict.good{border-left-color:var(--good)}.verdict.bad{border-left-color:var(--bad)}.verdict.warn{border-left-color:var(--warn)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(200px,1fr));gap:12px;margin:16px 0}
.tile{border:1px solid var(--line);border-radius:8px;padding:12px 14px;background:var(--panel)}
.tile b{display:block;font-size:23px;line-height:1.25;font-variant-numeric:tabular-nums}
.tile span{display:block;color:var(--soft);font-size:13px}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,500px),1fr));gap:14px}
.card{border:1px solid var(--line);border-radius:8px;padding:16px;min-width:0;break-inside:avoid}
.wide{grid-column:1/-1}
.plot{display:block;width:100%;height:auto;color:var(--soft)}.plot .strong{fill:var(--text)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:6px 12px;border-bottom:1px solid var(--line);white-space:nowrap;vertical-align:top}
th{color:var(--soft);font-weight:600;font-size:13px}
th:first-child,td:first-child{text-align:left;padding-left:2px}
table.text td,table.text th{text-align:left;white-space:normal;overflow-wrap:anywhere}
table.text td:first-child{white-space:nowrap;color:var(--soft);width:240px}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,500px),1fr));gap:0 32px}
footer{margin-top:48px;color:var(--soft);font-size:13px}
@media(max-width:600px){body{padding:20px 14px}table.text td:first-child{width:auto;white-space:normal}}
@media print{:root{color-scheme:light;--ground:#fff;--panel:#f6f8fa;--text:#1f2328;--soft:#59636e;--line:#d1d9e0;--good:#1a7f37;--bad:#c62f37;--warn:#9a6700}body{max-width:none;padding:0;font-size:12px}h2{break-after:avoid}tr,.tile,.verdict{break-inside:avoid}.plots{grid-template-columns:1fr 1fr}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
";

/// How good something is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tone {
    Good,
    Bad,
    Warn,
    Plain,
}

impl Tone {
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Warn => "warn",
            Self::Plain => "plain",
        }
    }
}

/// A page that grows.
pub(super) struct Page {
    html: String,
}

impl Page {
    pub(super) fn new(title: &str) -> Self {
        let title = escape(title);
        let html = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
             <meta name=\"generator\" content=\"hubbub-load\"><title>{title}</title><style>{STYLE}</style></head><body>\n"
        );
        Self { html }
    }

    /// HTML that is already escaped.
    pub(super) fn raw(&mut self, html: &str) {
        self.html.push_str(html);
        self.html.push('\n');
    }

    pub(super) fn heading(&mut self, level: u8, text: &str) {
        let text = escape(text);
        self.raw(&format!("<h{level}>{text}</h{level}>"));
    }

    pub(super) fn soft(&mut self, text: &str) {
        let text = escape(text);
        self.raw(&format!("<p class=\"soft\">{text}</p>"));
    }

    pub(super) fn code(&mut self, text: &str) {
        let text = escape(text);
        self.raw(&format!("<pre>{text}</pre>"));
    }

    pub(super) fn verdict(&mut self, tone: Tone, text: &str, small: &[String]) {
        let small: String = small.iter().map(|line| format!("<small>{}</small>", escape(line))).collect();
        let (class, text) = (tone.class(), escape(text));
        self.raw(&format!("<div class=\"verdict {class}\"><span class=\"{class}\">{text}</span>{small}</div>"));
    }

    /// Figures with what each is.
    pub(super) fn tiles(&mut self, tiles: &[(String, String, Tone)]) {
        self.raw("<div class=\"tiles\">");
        for (figure, name, tone) in tiles {
            let (figure, name, class) = (escape(figure), escape(name), tone.class());
            self.raw(&format!("<div class=\"tile\"><b class=\"{class}\">{figure}</b><span>{name}</span></div>"));
        }
        self.raw("</div>");
    }

    /// Drawings beside each other where there is room; those that are `wide` over the whole width.
    pub(super) fn plots(&mut self, plots: &[String], wide: f64) {
        let wide = format!("width=\"{wide:.0}\"");
        self.raw("<div class=\"plots\">");
        for plot in plots {
            let class = if plot.contains(&wide) { "card wide" } else { "card" };
            self.raw(&format!("<div class=\"{class}\">{plot}</div>"));
        }
        self.raw("</div>");
    }

    /// A table of figures; a table of text when `class` is `text`. A tone colours a whole row.
    pub(super) fn table(&mut self, class: &str, head: &[&str], rows: &[(Tone, Vec<String>)]) {
        let mut html = format!("<div class=\"scroll\"><table class=\"{class}\">");
        if !head.is_empty() {
            let cells: String = head.iter().map(|cell| format!("<th>{}</th>", escape(cell))).collect();
            html.push_str(&format!("<thead><tr>{cells}</tr></thead>"));
        }
        html.push_str("<tbody>");
        for (tone, cells) in rows {
            let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
            html.push_str(&format!("<tr class=\"{}\">{cells}</tr>", tone.class()));
        }
        html.push_str("</tbody></table></div>");
        self.raw(&html);
    }

    /// A table of names and what they are.
    pub(super) fn facts(&mut self, facts: &[(String, String)]) {
        let rows: Vec<_> = facts.iter().map(|(name, fact)| (Tone::Plain, vec![name.clone(), fact.clone()])).collect();
        self.table("text", &[], &rows);
    }

    pub(super) fn finish(mut self, footer: &str) -> String {
        let footer = escape(footer);
        self.raw(&format!("<footer>{footer}</footer></body></html>"));
        self.html
    }
}
