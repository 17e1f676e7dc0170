//! The first hour of new users, step by step: the very commands and code that README and the guides print, in a terminal.
//!
//! `cargo xtask journey` goes all the way and reports seconds and memory; a test of `ssl-cli` goes a short one and checks what
//! each step does and says.
#![cfg(unix)]

mod documents;
mod guide;
mod images;
mod programmer;
mod step;
mod terminal;
mod users;

pub use guide::guide;
pub use programmer::programmer;
pub use step::Step;
pub use terminal::{Ended, Terminal};
pub use users::{Length, Settings, engineer, researcher};
