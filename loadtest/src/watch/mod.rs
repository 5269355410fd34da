//! What the server's processes take, and what they say of themselves.
//!
//! Owns reading `/proc` and `/metrics`. Must never disturb a server more than once a second.

mod port;
mod process;
mod scrape;

pub use port::processes_on;
pub use process::Watched;
pub use scrape::Scrape;
