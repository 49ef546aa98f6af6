//! Where a command's answer goes: a terminal, or another process that asked through the socket.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use super::CliError;
use super::remote::{Frame, FrameSink};

/// The answer of one command. With `--json` it is one value on standard output, else text.
pub struct Console {
    json: bool,
    place: Out,
}

enum Out {
    Terminal(ProgressBar),
    Remote(FrameSink),
}

impl Console {
    pub fn terminal(json: bool) -> Self {
        let bar = ProgressBar::new(0).with_style(style());
        bar.set_draw_target(ProgressDrawTarget::hidden());
        if !json && std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        Self { json, place: Out::Terminal(bar) }
    }

    pub(crate) fn remote(json: bool, sink: FrameSink) -> Self {
        Self { json, place: Out::Remote(sink) }
    }

    pub fn is_json(&self) -> bool {
        self.json
    }

    /// The answer, in the form that was asked for.
    pub fn answer(&mut self, value: &Value, text: impl Display) {
        let line = if self.json { format!("{value}\n") } else { format!("{text}\n") };
        self.write(&line);
    }

    /// A line for people; with `--json` nothing.
    pub fn say(&mut self, text: impl Display) {
        if !self.json {
            self.write(&format!("{text}\n"));
        }
    }

    /// The same text in either form: it is JSON already.
    pub fn plain(&mut self, text: impl Display) {
        self.write(&format!("{text}\n"));
    }

    /// How far long work is.
    pub fn progress(&self, done: u64, total: u64) {
        match &self.place {
            Out::Terminal(bar) => {
                bar.set_length(total);
                bar.set_position(done);
                if done >= total {
                    bar.finish_and_clear();
                }
            }
            Out::Remote(sink) => sink.send(&Frame::Progress { done, total }),
        }
    }

    /// Says why a command failed: what happened, and each cause once.
    pub fn fail(&mut self, error: &CliError) {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(deeper) = cause {
            let deeper_text = deeper.to_string();
            if !text.ends_with(&deeper_text) {
                text.push_str(": ");
                text.push_str(&deeper_text);
            }
            cause = deeper.source();
        }
        self.complain(&text);
    }

    fn complain(&mut self, text: &str) {
        match &self.place {
            Out::Terminal(bar) => {
                bar.finish_and_clear();
                // Nobody to tell that nobody can be told.
                drop(writeln!(std::io::stderr(), "tidbok: {text}"));
            }
            Out::Remote(sink) => sink.send(&Frame::Error { text: text.to_owned() }),
        }
    }

    fn write(&mut self, text: &str) {
        match &self.place {
            Out::Terminal(bar) => bar.suspend(|| {
                // A closed pipe (`| head`) is the reader's wish.
                let mut out = std::io::stdout();
                drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
            }),
            Out::Remote(sink) => sink.send(&Frame::Out { text: text.to_owned() }),
        }
    }

    /// Hands on what another process answered.
    pub(crate) fn relay(&mut self, frame: Frame) -> Option<u8> {
        match frame {
            Frame::Out { text } => self.write(&text),
            Frame::Error { text } => self.complain(&text),
            Frame::Progress { done, total } => self.progress(done, total),
            Frame::Exit { code } => return Some(code),
        }
        None
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {eta}")
        .expect("the template is a constant")
}
