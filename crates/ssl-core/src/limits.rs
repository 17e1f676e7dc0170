//! Upper limits of what a configuration may ask for: far above anything published, and low enough that a slip of the
//! keyboard is an error and not a machine without memory.

use crate::ConfigError;

/// Layers of a head. Published ones have up to four.
const LAYERS: usize = 64;
/// Blocks of a transformer. Published ones have up to 48 (arXiv 2106.04560, table 2).
const BLOCKS: usize = 256;
/// Hidden units of an MLP of a transformer block by the length of a token. 4 is usual (arXiv 2010.11929, table 1).
const MLP_RATIO: usize = 64;
/// Length of a row inside of a head. The widest published ones have 8192 (arXiv 2103.03230, section 2.2).
const WIDTH: usize = 1 << 18;
/// Outputs of a head. Published ones have up to 131072 (official `vitg14.yaml` of arXiv 2304.07193).
const OUTPUTS: usize = 1 << 20;
/// Rows of a queue. Published ones have up to 98304 (arXiv 2104.14548).
const QUEUE: usize = 1 << 24;
/// Epochs of a run, and of a part of it. Published runs have up to 1600 (arXiv 2111.06377).
const EPOCHS: u64 = 1_000_000;
/// Steps of a run, and of a part of it: weeks at a thousand in a second.
const STEPS: u64 = 1_000_000_000;
/// Images of a set. Published sets have nearly 3 billion (JFT-3B, arXiv 2106.04560).
const IMAGES: usize = 4_000_000_000;
/// Neighbours that vote in k-NN. Published ones are up to 200 (arXiv 1805.01978).
const NEIGHBOURS: usize = 1 << 20;
/// A learning rate. Published ones are up to 30 (arXiv 1911.05722, section 4.1).
const RATE: f64 = 1e6;
/// A weight decay. Published ones are up to 0.4 (arXiv 2104.14294, section 3.2).
const WEIGHT_DECAY: f64 = 1e3;
/// A temperature. Published ones are up to 20 (arXiv 1503.02531, section 3).
const TEMPERATURE: f64 = 1e3;
/// The weight of a term of a loss. Published ones are up to 25 (arXiv 2105.04906, section 4.2).
const FACTOR: f64 = 1e6;

/// Checks the number of layers of a head.
///
/// # Errors
/// Above 64.
pub fn layers(field: &'static str, layers: usize) -> Result<(), ConfigError> {
    let expected = "at most 64: published heads have up to 4";
    ConfigError::check(layers <= LAYERS, field, layers, expected)
}

/// Checks the number of blocks of a transformer.
///
/// # Errors
/// Above 256.
pub fn blocks(field: &'static str, blocks: usize) -> Result<(), ConfigError> {
    let expected = "at most 256: published transformers have up to 48 blocks";
    ConfigError::check(blocks <= BLOCKS, field, blocks, expected)
}

/// Checks the hidden units of a transformer block's MLP, divided by the length of a token.
///
/// # Errors
/// Above 64.
pub fn mlp_ratio(field: &'static str, ratio: usize) -> Result<(), ConfigError> {
    ConfigError::check(ratio <= MLP_RATIO, field, ratio, "at most 64: 4 is usual")
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
    let expected = "at most 16777216: published queues hold up to 98304 embeddings";
    ConfigError::check(len <= QUEUE, field, len, expected)
}

/// Checks a number of epochs within a run, or between two events of it.
///
/// # Errors
/// Above 1000000.
pub fn epochs(field: &'static str, epochs: u64) -> Result<(), ConfigError> {
    ConfigError::check(epochs <= EPOCHS, field, epochs, "at most 1000000, as schedule.epochs")
}

/// Checks a number of steps within a run, or of what a run does after some of its steps.
///
/// # Errors
/// Above 1000000000.
pub fn steps(field: &'static str, steps: u64) -> Result<(), ConfigError> {
    ConfigError::check(steps <= STEPS, field, steps, "at most 1000000000, as schedule.max_steps")
}

/// Checks how many images of a set are used.
///
/// # Errors
/// 0, or above 4000000000.
pub fn images(field: &'static str, images: usize) -> Result<(), ConfigError> {
    not_zero(field, images)?;
    let expected = "at most 4000000000: published sets have nearly 3 billion images";
    ConfigError::check(images <= IMAGES, field, images, expected)
}

/// Checks the number of neighbours that vote in k-NN.
///
/// # Errors
/// 0, or above 1048576.
pub fn neighbours(field: &'static str, k: usize) -> Result<(), ConfigError> {
    not_zero(field, k)?;
    ConfigError::check(k <= NEIGHBOURS, field, k, "at most 1048576: published ones are up to 200")
}

/// Checks the sizes of a [`PrototypeHead`](crate::PrototypeHead), each with the name of its option: layers of the MLP, hidden units,
/// length of what it puts out, prototypes.
///
/// # Errors
/// If one is 0, or above the limit of [`layers`], [`width`], [`width`] or [`outputs`].
pub fn prototype_head(sizes: [(&'static str, usize); 4]) -> Result<(), ConfigError> {
    sizes.into_iter().try_for_each(|(field, size)| not_zero(field, size))?;
    let [(of_layers, count), (of_hidden, hidden), (of_bottleneck, bottleneck), (of_outputs, prototypes)] =
        sizes;
    layers(of_layers, count)?;
    width(of_hidden, hidden)?;
    width(of_bottleneck, bottleneck)?;
    outputs(of_outputs, prototypes)
}

/// Checks a size that has no use for 0.
///
/// # Errors
/// 0.
pub fn not_zero(field: &'static str, size: usize) -> Result<(), ConfigError> {
    ConfigError::check(size > 0, field, size, "at least 1")
}

/// Checks a share, such as a momentum.
///
/// # Errors
/// Below 0, above 1, or not a number.
pub fn share(field: &'static str, share: f64) -> Result<(), ConfigError> {
    ConfigError::check((0.0..=1.0).contains(&share), field, share, "a number from 0 to 1")
}

/// Checks a learning rate.
///
/// # Errors
/// Below 0, above 1000000, or not a number.
pub fn rate(field: &'static str, rate: f64) -> Result<(), ConfigError> {
    not_negative(field, rate)?;
    ConfigError::check(rate <= RATE, field, rate, "at most 1000000: published rates are up to 30")
}

/// Checks a weight decay.
///
/// # Errors
/// Below 0, above 1000, or not a number.
pub fn weight_decay(field: &'static str, decay: f64) -> Result<(), ConfigError> {
    not_negative(field, decay)?;
    ConfigError::check(decay <= WEIGHT_DECAY, field, decay, "at most 1000: published ones are up to 0.4")
}

/// Checks the temperature of a softmax.
///
/// # Errors
/// 0 or below, above 1000, or not a number.
pub fn temperature(field: &'static str, temperature: f64) -> Result<(), ConfigError> {
    positive(field, temperature)?;
    let expected = "at most 1000: published temperatures are up to 20";
    ConfigError::check(temperature <= TEMPERATURE, field, temperature, expected)
}

/// Checks the weight of a term of a loss, or of the whole loss.
///
/// # Errors
/// 0 or below, above 1000000, or not a number.
pub fn factor(field: &'static str, factor: f64) -> Result<(), ConfigError> {
    positive(field, factor)?;
    ConfigError::check(factor <= FACTOR, field, factor, "at most 1000000: published ones are up to 25")
}

/// Checks the weight of a term that a loss may do without.
///
/// # Errors
/// Below 0, above 1000000, or not a number.
pub fn weight(field: &'static str, weight: f64) -> Result<(), ConfigError> {
    not_negative(field, weight)?;
    ConfigError::check(weight <= FACTOR, field, weight, "at most 1000000: published ones are up to 25")
}

fn not_negative(field: &'static str, number: f64) -> Result<(), ConfigError> {
    ConfigError::check(number >= 0.0 && number.is_finite(), field, number, "a number of at least 0")
}

fn positive(field: &'static str, number: f64) -> Result<(), ConfigError> {
    ConfigError::check(number > 0.0 && number.is_finite(), field, number, "a number above 0")
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
        assert!(text(blocks("depth", 257)).contains("at most 256"));
        assert!(text(mlp_ratio("mlp_ratio", 65)).contains("at most 64"));
        assert!(text(outputs("prototypes", 1 << 21)).contains("at most 1048576"));
    }

    #[test]
    fn counts_of_a_run_end_where_no_run_has_been() {
        let most = [
            epochs("a", 1_000_000),
            steps("a", 1_000_000_000),
            images("a", 1 << 31),
            neighbours("a", 1 << 20),
        ];
        assert_eq!(most, [Ok(()), Ok(()), Ok(()), Ok(())]);
        let more = [
            epochs("a", 1_000_001),
            steps("a", u64::MAX),
            images("a", usize::MAX),
            images("a", 0),
            neighbours("a", (1 << 20) + 1),
            neighbours("a", 0),
        ];
        assert!(more.iter().all(Result::is_err), "{more:?}");
        let said = epochs("freeze_last_layer_epochs", u64::MAX).expect_err("too many").to_string();
        assert_eq!(
            said,
            "freeze_last_layer_epochs is 18446744073709551615, expected at most 1000000, as schedule.epochs"
        );
    }

    #[test]
    fn rates_and_temperatures_are_numbers_that_can_be_used() {
        type Check = fn(&'static str, f64) -> Result<(), ConfigError>;
        let bounds =
            [(rate as Check, 1e6), (weight_decay, 1e3), (temperature, 1e3), (factor, 1e6), (weight, 1e6)];
        for (check, most) in bounds {
            assert_eq!(check("a", most), Ok(()));
            for bad in [-1.0, most * 1.1, f64::INFINITY, f64::NAN] {
                assert_eq!(check("a", bad).expect_err("unusable").field, "a", "{bad}");
            }
        }
        assert_eq!((rate("a", 0.0), weight_decay("a", 0.0), weight("a", 0.0)), (Ok(()), Ok(()), Ok(())));
        let said = |found: f64| temperature("t", found).expect_err("unusable").to_string();
        assert_eq!(said(0.0), "t is 0, expected a number above 0");
        assert_eq!(said(2e3), "t is 2000, expected at most 1000: published temperatures are up to 20");
    }
}
