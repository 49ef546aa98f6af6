//! Given, when, then: the rules of booking, by what they protect.

mod content;
mod deadlines;
mod facets;
mod history;
mod moves;
mod people;
mod time;
mod transitions;
