//! Upper limits of what a configuration may ask for: far above anything published, and low enough that a slip of the
//! keyboard is an error and not a machine without memory.

use crate::ConfigError;

/// Layers of a head. Published ones have up to four.
const LAYERS: usize = 64;
/// Length of a row inside of a head. The widest published ones have 8192 (arXiv 2103.03230, section 2.2).
const WIDTH: usize = 1 << 18;
/// Outputs of a head. Published ones have up to 131072 (official `vitg14.yaml` of arXiv 2304.07193).
const OUTPUTS: usize = 1 << 20;
/// Rows of a queue. Published ones have up to 65536 (arXiv 1911.05722, section 4).
const QUEUE: usize = 1 << 24;

/// Checks the number of layers of a head.
///
/// # Errors
/// Above 64.
pub fn layers(field: &'static str, layers: usize) -> Result<(), ConfigError> {
    let expected = "at most 64: published heads have up to 4";
    ConfigError::check(layers <= LAYERS, field, layers, expected)
}

/// Checks the length of a row inside of a head, or of an embedding.
///
/// # Errors
/// Above 262144.
pub fn width(field: &'static str, width: usize) -> Result<(), ConfigError> {
    let expected = "at most 262144: published heads are up to 8192 wide";
    ConfigError::check(width <= WIDTH, field, width, expected)
}

/// Checks the number of classes or prototypes that a head tells apart.
///
/// # Errors
/// Above 1048576.
pub fn outputs(field: &'static str, outputs: usize) -> Result<(), ConfigError> {
    let expected = "at most 1048576: published heads have up to 131072 outputs";
    ConfigError::check(outputs <= OUTPUTS, field, outputs, expected)
}

/// Checks the length of a queue.
///
/// # Errors
/// Above 16777216.
pub fn queue(field: &'static str, len: usize) -> Result<(), ConfigError> {
    let expected = "at most 16777216: published queues hold up to 65536 embeddings";
    ConfigError::check(len <= QUEUE, field, len, expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_named_with_what_is_usual() {
        assert_eq!((layers("a", 64), width("a", 1 << 18), outputs("a", 1 << 20)), (Ok(()), Ok(()), Ok(())));
        let text = |found: Result<(), ConfigError>| found.expect_err("too much").to_string();
        assert_eq!(
            text(layers("projector_layers", 65)),
            "projector_layers is 65, expected at most 64: published heads have up to 4"
        );
        assert!(
            text(queue("queue_len", 1 << 40)).starts_with("queue_len is 1099511627776, expected at most")
        );
        assert!(text(width("hidden_dim", 1 << 19)).contains("at most 262144"));
        assert!(text(outputs("prototypes", 1 << 21)).contains("at most 1048576"));
    }
}
