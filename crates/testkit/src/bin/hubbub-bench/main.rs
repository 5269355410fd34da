//! `hubbub-bench`: what a node costs, measured from outside. `cargo xtask bench NAME` builds everything and calls it.
//!
//! Prints what was measured beside its goal. Must never fail because a figure is bad: figures are judged by people.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod accept;
mod append;
mod bare;
mod crowd;
mod fanout;
mod floor;
mod hot_room;
mod idle;
mod latency;
mod load;
mod machine;
mod peer;
mod pin;
mod report;
mod scale;
mod sheet;
mod stage;
mod start;
mod storm;
mod subject;
mod window;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measures a node.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Memory of idle connections, plain and TLS, and growth over connects and disconnects.
    Idle(idle::Options),
    /// CPU of an accepted connection, plain and TLS, against a bare accept loop.
    Accept(accept::Options),
    /// Messages stored a second; runs the example `bench_append` of the store.
    Append(append::Options),
    /// From send to delivery on another socket, at several rates.
    Latency(latency::Options),
    /// CPU of a delivery beside that of a server that does nothing else.
    Fanout(fanout::Options),
    /// The most deliveries a second in one room.
    HotRoom(hot_room::Options),
    /// Everybody loses the connection and comes back.
    Storm(storm::Options),
    /// Prices with more rooms, more stored messages, more nodes.
    Scale(scale::Options),
    /// A hundred thousand connections in rooms of all sizes.
    Crowd(crowd::Options),
    /// A hundred thousand connections in one room.
    GiantRoom(crowd::GiantOptions),
    /// Until ready, memory without clients, size and libraries of the binary.
    Start(start::Options),
    /// Tables and plots of the newest results, into `docs`.
    Report(report::Options),
    /// A bare accept loop, for `accept`.
    #[command(hide = true)]
    Bare(bare::Options),
}

fn main() -> ExitCode {
    match run(Options::parse().bench) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(bench: Bench) -> Result<()> {
    match bench {
        Bench::Idle(options) => idle::run(&options),
        Bench::Accept(options) => accept::run(&options),
        Bench::Append(options) => append::run(&options),
        Bench::Latency(options) => latency::run(&options),
        Bench::Fanout(options) => fanout::run(&options),
        Bench::HotRoom(options) => hot_room::run(&options),
        Bench::Storm(options) => storm::run(&options),
        Bench::Scale(options) => scale::run(&options),
        Bench::Crowd(options) => crowd::mixed(&options),
        Bench::GiantRoom(options) => crowd::giant(&options),
        Bench::Start(options) => start::run(&options),
        Bench::Report(options) => report::run(&options),
        Bench::Bare(options) => bare::run(&options),
    }
}
