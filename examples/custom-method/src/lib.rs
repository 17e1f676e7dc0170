//! VICReg as a method of your own: the library does not know it, and its recipes, loop, checkpoints, resume and k-NN
//! work with it. `docs/adding-a-method.md` goes through these files in order.
//!
//! ```sh
//! cargo run --release -p example-custom-method
//! ```

mod config;
mod loss;
mod model;

pub use config::VicRegConfig;
pub use loss::vicreg;
pub use model::VicReg;
