//! Plots as SVG text, readable on light and on dark ground: a transparent background, axes in the colour of the text
//! around them (mid-grey in a file of its own), and colours that colour-blind people can tell apart.
//!
//! Must never know what it plots. Drawn by hand because axes must follow the page's colour, which the drawing libraries
//! fix when they draw.

mod axis;
mod bars;
mod lines;

pub use axis::{Axis, Scale, Unit};
pub use bars::{Bar, BarChart};
pub use lines::{LineChart, Mark, Series};

/// After Okabe and Ito, darkened or lightened until each has a contrast of 3 or more with white and with black ground.
pub const COLOURS: [&str; 8] = ["#2f81d6", "#e07b1f", "#14a083", "#c864b0", "#a98a17", "#7b74e0", "#dc5050", "#5f93a8"];

/// What went wrong is drawn in this colour.
pub const RED: &str = "#dc4c4c";

/// Mid-grey: readable on white and on GitHub's dark ground. A page overrides it by CSS.
const GREY: &str = "#7d8590";

const FONT: &str = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";

/// The colour of the n-th series.
#[must_use]
pub const fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

/// How wide a text is, in pixels, near enough for laying out: fonts are the reader's.
fn width_of(text: &str, size: f64) -> f64 {
    text.chars()
        .map(|sign| match sign {
            'i' | 'l' | '.' | ',' | ' ' | '\'' | '|' | ':' => 0.34,
            'm' | 'w' | 'M' | 'W' | '%' | '@' => 0.95,
            'A'..='Z' => 0.70,
            _ => 0.58,
        })
        .sum::<f64>()
        * size
}

/// Escapes text for XML and HTML.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Control characters are not allowed in XML, whatever their escape.
            control if control.is_control() && control != '\n' => escaped.push('\u{fffd}'),
            _ => escaped.push(sign),
        }
    }
    escaped
}

/// Shortens a text to what fits into so many pixels.
fn fit(text: &str, size: f64, room: f64) -> String {
    if width_of(text, size) <= room {
        return text.to_owned();
    }
    let mut short = text.to_owned();
    while !short.is_empty() && width_of(&short, size) + size * 0.8 > room {
        short.pop();
    }
    format!("{}…", short.trim_end())
}

/// A drawing that grows.
struct Drawing {
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Anchor {
    Start,
    Middle,
    End,
}

impl Drawing {
    fn new(width: f64, height: f64, title: &str) -> Self {
        let title = escape(title);
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             width=\"{width:.0}\" height=\"{height:.0}\" color=\"{GREY}\" font-family=\"{FONT}\" role=\"img\" \
             aria-label=\"{title}\">"
        );
        Self { text }
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn text(&mut self, (x, y): (f64, f64), size: f64, anchor: Anchor, text: &str) {
        self.styled((x, y), size, anchor, "", text);
    }

    fn styled(&mut self, (x, y): (f64, f64), size: f64, anchor: Anchor, attributes: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        self.push(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\" fill=\"currentColor\" {attributes}>{text}</text>"
        ));
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), attributes: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.push(&format!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"currentColor\" {attributes}/>"
        ));
    }

    fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}
