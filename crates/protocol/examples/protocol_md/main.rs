//! Prints `docs/protocol.md` whole.

mod render;

#[expect(clippy::print_stdout, reason = "printing is its purpose")]
fn main() {
    print!("{}", render::document());
}
