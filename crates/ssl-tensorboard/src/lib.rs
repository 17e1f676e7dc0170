#![doc = include_str!("../README.md")]

mod file;
mod message;
mod record;

pub use file::{EventFile, is_event_file};
