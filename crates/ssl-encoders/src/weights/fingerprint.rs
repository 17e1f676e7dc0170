//! A hash of the tensors of a network.

use burn::module::Module;
use ssl_core::named;
use xxhash_rust::xxh3::Xxh3;

/// A hash of all tensors of a module, their paths and shapes: 64-bit XXH3, in hexadecimal. Equal networks have equal hashes,
/// whatever file they were read from.
pub fn fingerprint<M: Module>(module: &M) -> String {
    let mut hasher = Xxh3::new();
    for (path, tensor) in named::collect(module) {
        hasher.update(path.as_bytes());
        hasher.update(format!("{:?}", tensor.shape().to_vec()).as_bytes());
        hasher.update(tensor.as_bytes());
    }
    format!("{:016x}", hasher.digest())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BlockKind, ResNetConfig};
    use ssl_core::{DeviceSpec, Init};

    #[test]
    fn it_is_of_the_values() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let network = |seed, width| {
            let config = ResNetConfig::new(BlockKind::Basic, [1]).with_width(width);
            fingerprint(&config.init(&mut Init::new(seed, &device)))
        };
        assert_eq!(network(0, 4), network(0, 4));
        assert_ne!(network(0, 4), network(1, 4));
        assert_ne!(network(0, 4), network(0, 8));
        assert_eq!(network(0, 4).len(), 16);
    }
}
