//! Line charts.

use super::axis::{Axis, Range};
use super::{Anchor, Drawing, RED, colour, escape, fit, width_of};

const SIZE: f64 = 12.0;
const LEGEND_LINE: f64 = 18.0;

/// Several curves over one pair of axes.
#[derive(Clone, Debug)]
pub struct LineChart {
    /// What it shows.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The curves.
    pub series: Vec<Series>,
    /// Moments that are marked.
    pub marks: Vec<Mark>,
    /// In pixels.
    pub width: f64,
    /// In pixels, the legend included.
    pub height: f64,
}

/// A curve.
#[derive(Clone, Debug)]
pub struct Series {
    /// What stands in the legend.
    pub name: String,
    /// Its points, from left to right; a value that is no number leaves a gap.
    pub points: Vec<(f64, f64)>,
    /// Its colour; none: the next of the palette.
    pub colour: Option<&'static str>,
    /// Drawn with dashes, to be told apart without colours.
    pub is_dashed: bool,
    /// What is below is filled lightly.
    pub is_filled: bool,
}

impl Series {
    /// A plain curve.
    #[must_use]
    pub fn new(name: &str, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.to_owned(), points, colour: None, is_dashed: false, is_filled: false }
    }

    /// With dashes.
    #[must_use]
    pub fn dashed(self) -> Self {
        Self { is_dashed: true, ..self }
    }

    /// Filled below.
    #[must_use]
    pub fn filled(self) -> Self {
        Self { is_filled: true, ..self }
    }

    /// In this colour.
    #[must_use]
    pub fn coloured(self, colour: &'static str) -> Self {
        Self { colour: Some(colour), ..self }
    }
}

/// A vertical or horizontal line with a name.
#[derive(Clone, Debug)]
pub enum Mark {
    /// At a value of the horizontal axis.
    At(f64, String),
    /// At a value of the vertical axis: a limit.
    Limit(f64, String),
}

/// Where the curves are, in pixels.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: Range,
    y: Range,
}

impl Frame {
    fn point(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (
            self.left + self.x.place(x) * (self.right - self.left),
            self.bottom - self.y.place(y) * (self.bottom - self.top),
        )
    }
}

impl LineChart {
    /// A chart of the usual size.
    #[must_use]
    pub fn new(title: &str, x: Axis, y: Axis) -> Self {
        let title = title.to_owned();
        Self { title, x, y, series: Vec::new(), marks: Vec::new(), width: 720.0, height: 320.0 }
    }

    /// With one more curve; one without points is left out.
    #[must_use]
    pub fn with(mut self, series: Series) -> Self {
        if series.points.iter().any(|(_, y)| y.is_finite()) {
            self.series.push(series);
        }
        self
    }

    /// The chart as SVG.
    #[must_use]
    pub fn svg(&self) -> String {
        let mut drawing = Drawing::new(self.width, self.height, &self.title);
        drawing.styled((0.0, 16.0), 14.0, Anchor::Start, "font-weight=\"600\" class=\"strong\"", &self.title);
        // Bold letters are wider than what is reckoned with.
        let behind = width_of(&self.title, 14.0) * 1.1 + 14.0;
        if !self.y.label.is_empty() && behind + width_of(&self.y.label, SIZE) < self.width {
            drawing.text((self.width - 4.0, 16.0), SIZE, Anchor::End, &self.y.label);
        }
        let legend_bottom = self.legend(&mut drawing);
        let frame = self.frame(legend_bottom);
        self.axes(&mut drawing, &frame);
        self.marks(&mut drawing, &frame);
        for (index, series) in self.series.iter().enumerate() {
            curve(&mut drawing, &frame, series, series.colour.unwrap_or(colour(index)));
        }
        if self.series.is_empty() {
            let middle = ((frame.left + frame.right) / 2.0, (frame.top + frame.bottom) / 2.0);
            drawing.text(middle, 13.0, Anchor::Middle, "nothing was measured");
        }
        drawing.finish()
    }

    fn legend(&self, drawing: &mut Drawing) -> f64 {
        if self.series.len() < 2 {
            return 34.0;
        }
        let (mut x, mut y) = (0.0, 36.0);
        for (index, series) in self.series.iter().enumerate() {
            let name = fit(&series.name, SIZE, self.width * 0.6);
            let width = 26.0 + width_of(&name, SIZE) + 16.0;
            if x > 0.0 && x + width > self.width {
                (x, y) = (0.0, y + LEGEND_LINE);
            }
            let stroke = series.colour.unwrap_or(colour(index));
            let dash = if series.is_dashed { "stroke-dasharray=\"5 3\"" } else { "" };
            let (line_y, end) = (y - 4.0, x + 20.0);
            drawing.push(&format!(
                "<path d=\"M{x:.1} {line_y:.1}H{end:.1}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"2.5\" {dash}/>"
            ));
            drawing.text((x + 26.0, y), SIZE, Anchor::Start, &name);
            x += width;
        }
        y + 18.0
    }

    fn frame(&self, top: f64) -> Frame {
        let label = if self.x.label.is_empty() { 0.0 } else { 20.0 };
        let bottom = self.height - 24.0 - label;
        let values = self.series.iter().flat_map(|series| series.points.iter());
        let limits = self.marks.iter().filter_map(|mark| match mark {
            Mark::Limit(value, _) => Some(*value),
            Mark::At(..) => None,
        });
        let rows = ((bottom - top) / 44.0) as usize;
        let y = self.y.range(values.clone().map(|(_, y)| *y).chain(limits), rows, true);
        let longest = y.ticks.iter().map(|(tick, _)| width_of(&self.y.unit.write(*tick), SIZE)).fold(0.0, f64::max);
        let left = (longest + 12.0).max(44.0);
        let right = self.width - 22.0;
        let x = self.x.range(values.map(|(x, _)| *x), ((right - left) / 76.0) as usize, false);
        Frame { left, right, top, bottom, x, y }
    }

    fn axes(&self, drawing: &mut Drawing, frame: &Frame) {
        let mut free_above = f64::INFINITY;
        for (tick, labelled) in &frame.y.ticks {
            let (_, y) = frame.point((0.0, *tick));
            let faint = if *labelled { 0.22 } else { 0.10 };
            drawing.line((frame.left, y), (frame.right, y), &format!("stroke-opacity=\"{faint}\""));
            if *labelled && free_above - y >= SIZE + 1.0 {
                drawing.text((frame.left - 8.0, y + 4.0), SIZE, Anchor::End, &self.y.unit.write(*tick));
                free_above = y;
            }
        }
        let mut free_from = f64::NEG_INFINITY;
        for (tick, labelled) in &frame.x.ticks {
            let (x, _) = frame.point((*tick, 0.0));
            drawing.line((x, frame.top), (x, frame.bottom), "stroke-opacity=\"0.08\"");
            let text = self.x.unit.write(*tick);
            let half = width_of(&text, SIZE) / 2.0;
            if *labelled && x - half > free_from {
                let x = x.min(self.width - half);
                drawing.text((x, frame.bottom + 17.0), SIZE, Anchor::Middle, &text);
                free_from = x + half + 10.0;
            }
        }
        drawing.line((frame.left, frame.bottom), (frame.right, frame.bottom), "stroke-opacity=\"0.6\"");
        if !self.x.label.is_empty() {
            let middle = f64::midpoint(frame.left, frame.right);
            drawing.text((middle, self.height - 5.0), SIZE, Anchor::Middle, &self.x.label);
        }
    }

    fn marks(&self, drawing: &mut Drawing, frame: &Frame) {
        for mark in &self.marks {
            match mark {
                Mark::At(at, name) => {
                    let (x, _) = frame.point((*at, 0.0));
                    let dash = "stroke-opacity=\"0.7\" stroke-dasharray=\"2 3\"";
                    drawing.line((x, frame.top), (x, frame.bottom), dash);
                    let is_right = x + width_of(name, 11.0) + 8.0 > frame.right;
                    let (x, anchor) = if is_right { (x - 4.0, Anchor::End) } else { (x + 4.0, Anchor::Start) };
                    drawing.text((x, frame.top + 10.0), 11.0, anchor, name);
                }
                Mark::Limit(value, name) => {
                    let (_, y) = frame.point((0.0, *value));
                    let (left, right, name) = (frame.left, frame.right, escape(name));
                    drawing.push(&format!(
                        "<path d=\"M{left:.1} {y:.1}H{right:.1}\" fill=\"none\" stroke=\"{RED}\" stroke-dasharray=\"6 4\"/>\
                         <text x=\"{right:.1}\" y=\"{:.1}\" font-size=\"11\" text-anchor=\"end\" fill=\"{RED}\">{name}</text>",
                        y + 14.0
                    ));
                }
            }
        }
    }
}

fn curve(drawing: &mut Drawing, frame: &Frame, series: &Series, stroke: &str) {
    let dash = if series.is_dashed { "stroke-dasharray=\"5 3\"" } else { "" };
    for run in series.points.split(|(x, y)| !x.is_finite() || !y.is_finite()).filter(|run| !run.is_empty()) {
        let points: Vec<_> = run.iter().map(|point| frame.point(*point)).collect();
        if let [(x, y)] = points[..] {
            drawing.push(&format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{stroke}\"/>"));
            continue;
        }
        let path: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
        let path = format!("M{}", path.join("L"));
        if series.is_filled {
            let (first, last) = (points[0].0, points[points.len() - 1].0);
            let bottom = frame.bottom;
            drawing.push(&format!(
                "<path d=\"{path}L{last:.1} {bottom:.1}L{first:.1} {bottom:.1}Z\" fill=\"{stroke}\" fill-opacity=\"0.14\"/>"
            ));
        }
        drawing.push(&format!(
            "<path d=\"{path}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"1.8\" stroke-linejoin=\"round\" {dash}/>"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Unit;
    use super::*;

    #[test]
    fn a_chart_without_numbers_is_still_a_picture() {
        let axes = || (Axis::linear("", Unit::Elapsed), Axis::log("", Unit::Micros));
        let empty = LineChart::new("a < b", axes().0, axes().1).with(Series::new("none", vec![(1.0, f64::NAN)]));
        assert!(empty.svg().contains("nothing was measured"));
        assert!(empty.svg().contains("a &lt; b"));
        let gap = vec![(0.0, 5.0), (1.0, 6.0), (2.0, f64::NAN), (3.0, 7.0)];
        let svg = LineChart::new("gap", axes().0, axes().1).with(Series::new("one", gap)).svg();
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        assert_eq!(svg.matches("<circle").count(), 1, "a lone point is a dot");
    }
}
