//! Alignment and uniformity as a method of your own: the library does not know it, and its recipes, loop, checkpoints,
//! resume and k-NN work with it. `docs/adding-a-method.md` goes through these files in order.
//!
//! ```sh
//! cargo run --release -p example-custom-method
//! ```

mod config;
mod loss;
mod model;

pub use config::AlignUniformConfig;
pub use loss::{align_uniform, alignment, uniformity};
pub use model::AlignUniform;
