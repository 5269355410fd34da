//! Prints `CODE NAME` for every error code, then for every close code. `cargo xtask tidy` reads it.

use hubbub_protocol::{CloseCode, ErrorCode};

#[expect(clippy::print_stdout, reason = "printing is its purpose")]
fn main() {
    for code in ErrorCode::ALL {
        println!("{} {}", code.code(), code.name());
    }
    for code in CloseCode::ALL {
        println!("{} {}", code.code(), code.name());
    }
}
