//! The HTTP interface as its callers meet it.

mod bookings;
mod catalogue;
mod erasure;
mod form;
mod people;
