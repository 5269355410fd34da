//! `hubbub-bench`: what a node costs, measured from outside. `cargo xtask bench NAME` builds everything and calls it.
//!
//! Prints what was measured beside its goal. Must never fail because a figure is bad: figures are judged by people.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod accept;
mod bare;
mod flow;
mod idle;
mod peer;
mod subject;

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
    /// From send to delivery on another socket.
    Latency(flow::LatencyOptions),
    /// CPU of one delivery in a large room.
    Fanout(flow::FanoutOptions),
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
        Bench::Latency(options) => flow::latency(&options),
        Bench::Fanout(options) => flow::fanout(&options),
        Bench::Bare(options) => bare::run(&options),
    }
}

/// One line: what was measured, its goal, and their ratio (below 1 is better than the goal).
fn line(what: &str, measured: f64, unit: &str, goal: f64) {
    println!("{what:52} {measured:>10.2} {unit:6} goal {goal:>8.2}   ratio {:>5.2}", measured / goal);
}

/// One line without a goal.
fn note(what: &str, measured: f64, unit: &str) {
    println!("{what:52} {measured:>10.2} {unit}");
}
