//! A checksum in the description of a file, over everything else that the description and the tensors say.

use safetensors::SafeTensors;
use xxhash_rust::xxh3::Xxh3;

/// How the checksum ends a description: it is the last key, so that the rest can be read back as it was.
const KEY: &str = ",\"checksum\":\"";
/// Bytes that hold the length of a header.
const LENGTH: usize = 8;

/// The description, a JSON object, with the checksum of itself and of the tensors of `file`, which may have any description.
pub(super) fn sealed(description: &str, file: &[u8]) -> String {
    let body = description.strip_suffix('}').unwrap_or(description);
    format!("{body}{KEY}{:016x}\"}}", checksum(body, data(file)))
}

/// Checks the checksum of a safetensors file; one without it passes.
///
/// # Errors
/// What differs, in words.
pub(super) fn check(file: &[u8]) -> Result<(), String> {
    // What is no safetensors file is reported where its tensors are read.
    let Ok((_, header)) = SafeTensors::read_metadata(file) else { return Ok(()) };
    let description = header.metadata().as_ref().and_then(|metadata| metadata.get("burn-ssl"));
    let Some((body, found)) = description.and_then(|text| text.rsplit_once(KEY)) else { return Ok(()) };
    if found == format!("{:016x}\"}}", checksum(body, data(file))) {
        return Ok(());
    }
    Err("it is not as it was written, for its checksum is another: expected a copy that is".to_owned())
}

fn checksum(body: &str, data: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(body.as_bytes());
    hasher.update(data);
    hasher.digest()
}

/// What follows the header.
fn data(file: &[u8]) -> &[u8] {
    let length = file.first_chunk::<LENGTH>().map_or(0, |length| u64::from_le_bytes(*length));
    let start = usize::try_from(length).ok().and_then(|length| length.checked_add(LENGTH));
    start.and_then(|start| file.get(start..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use burn::tensor::TensorData;
    use ssl_core::named;

    use super::*;

    fn file() -> Vec<u8> {
        let tensors = BTreeMap::from([("a".to_owned(), TensorData::from([1.0_f32, 2.0]))]);
        let description = sealed("{\"kind\":\"encoder\"}", &named::encode(&tensors, ""));
        named::encode(&tensors, &description)
    }

    #[test]
    fn a_flipped_bit_of_numbers_or_description_is_noticed() {
        let file = file();
        assert_eq!(check(&file), Ok(()));
        let description = file.windows(7).position(|part| part == b"encoder").expect("in the header");
        for place in [description, file.len() - 1, file.len() - 8] {
            let mut flipped = file.clone();
            flipped[place] ^= 1;
            let said = check(&flipped).expect_err("another file");
            assert!(said.contains("not as it was written"), "{said}");
        }
    }

    #[test]
    fn files_of_others_have_no_checksum() {
        let tensors = BTreeMap::from([("a".to_owned(), TensorData::from([1.0_f32]))]);
        for description in ["", "{\"kind\":\"encoder\"}"] {
            assert_eq!(check(&named::encode(&tensors, description)), Ok(()));
        }
        assert_eq!(check(b"no file of tensors"), Ok(()));
    }
}
