//! Bar charts: one bar below the other, with its name before it and its figure behind it.

use super::axis::Unit;
use super::{Anchor, Drawing, colour, fit, width_of};

const SIZE: f64 = 12.5;
const ROW: f64 = 28.0;

/// Figures beside each other.
#[derive(Clone, Debug)]
pub struct BarChart {
    /// What it shows.
    pub title: String,
    /// What the figures are.
    pub unit: Unit,
    /// From top to bottom.
    pub bars: Vec<Bar>,
    /// In pixels.
    pub width: f64,
}

/// One bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// Stands before it.
    pub name: String,
    /// How long it is; no number: nothing is drawn.
    pub value: f64,
    /// Stands behind the figure: a ratio, a hit.
    pub note: String,
    /// Which colour of the palette.
    pub colour: usize,
}

impl BarChart {
    /// The chart as SVG.
    #[must_use]
    pub fn svg(&self) -> String {
        let height = 36.0 + self.bars.len() as f64 * ROW;
        let mut drawing = Drawing::new(self.width, height, &self.title);
        drawing.styled((0.0, 16.0), 14.0, Anchor::Start, "font-weight=\"600\" class=\"strong\"", &self.title);
        let names = self.bars.iter().map(|bar| width_of(&bar.name, SIZE)).fold(0.0, f64::max).min(self.width * 0.35);
        let figures: Vec<_> = self.bars.iter().map(|bar| self.figure(bar)).collect();
        let behind = figures.iter().map(|figure| width_of(figure, SIZE)).fold(0.0, f64::max) + 10.0;
        let left = names + 10.0;
        let room = (self.width - left - behind).max(20.0);
        let finite = |bar: &Bar| if bar.value.is_finite() { bar.value.max(0.0) } else { 0.0 };
        let most = self.bars.iter().map(finite).fold(0.0, f64::max);
        for (index, (bar, figure)) in self.bars.iter().zip(&figures).enumerate() {
            let top = 30.0 + index as f64 * ROW;
            let middle = top + ROW / 2.0 + 4.0;
            let length = if most > 0.0 { finite(bar) / most * room } else { 0.0 };
            drawing.text((left - 8.0, middle), SIZE, Anchor::End, &fit(&bar.name, SIZE, names + 1.0));
            let (fill, y, tall) = (colour(bar.colour), top + 4.0, ROW - 8.0);
            drawing.push(&format!(
                "<rect x=\"{left:.1}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{tall:.1}\" rx=\"3\" fill=\"{fill}\"/>"
            ));
            drawing.text((left + length + 8.0, middle), SIZE, Anchor::Start, figure);
        }
        drawing.finish()
    }

    fn figure(&self, bar: &Bar) -> String {
        let value = if bar.value.is_finite() { self.unit.write(bar.value) } else { "not measured".to_owned() };
        if bar.note.is_empty() { value } else { format!("{value}  ({})", bar.note) }
    }
}
