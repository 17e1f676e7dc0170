//! Golden files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::compare::{Comparison, Rule, compare};
use crate::{Array, Values};

/// The tensors that an implementation computed for a case, by name.
pub type Outputs = BTreeMap<String, Array>;

/// One golden file: inputs, hyper-parameters, and what a correct implementation computes from them.
#[derive(Clone, Debug)]
pub struct Case {
    /// `<group>.<op>.<variant>`
    pub name: String,
    /// The kind of operation, such as `loss`.
    pub group: String,
    /// The operation.
    pub op: String,
    /// Hyper-parameters, a JSON object.
    pub params: Value,
    /// The source of the definition.
    pub source: String,
    /// Allowed error relative to the scale of a tensor.
    pub rtol: f64,
    /// Allowed absolute error.
    pub atol: f64,
    tensors: BTreeMap<String, Array>,
}

/// Why a case cannot be read, or its results cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// The file or folder cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The bytes are not a safetensors file of this format.
    #[error("{path} is not a conformance case: {reason}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A tensor is missing, or of another type or shape than expected.
    #[error("tensor '{name}' is {found}, expected {expected}")]
    Tensor {
        /// Its name.
        name: String,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A hyper-parameter is missing or unusable.
    #[error("parameter '{name}' is unusable: {reason}")]
    Param {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

/// First components of the names of tensors that a case provides; all others are to be computed.
const GIVEN: [&str; 6] = ["in", "init", "views", "labels", "aux", "mask"];

impl Case {
    /// Reads a golden file.
    ///
    /// # Errors
    /// If the file cannot be read or is not a case of format `ssl-conformance/1`.
    pub fn read(path: &Path) -> Result<Self, CaseError> {
        let bytes = std::fs::read(path).map_err(|source| CaseError::Io { path: path.to_owned(), source })?;
        Self::decode(&bytes).map_err(|reason| CaseError::Damaged { path: path.to_owned(), reason })
    }

    /// The golden files of a folder, `*.safetensors`, ordered by name.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn paths(dir: &Path) -> Result<Vec<PathBuf>, CaseError> {
        let io = |source| CaseError::Io { path: dir.to_owned(), source };
        let entries = std::fs::read_dir(dir).map_err(io)?;
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>().map_err(io)?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
        paths.sort();
        Ok(paths)
    }

    /// All cases of a folder.
    ///
    /// # Errors
    /// The first file that cannot be read.
    pub fn all(dir: &Path) -> Result<Vec<Self>, CaseError> {
        Self::paths(dir)?.iter().map(|path| Self::read(path)).collect()
    }

    /// The cases of one operation in [`cases_dir`](crate::cases_dir).
    ///
    /// # Panics
    /// If there are none, or one cannot be read: a test without cases proves nothing.
    pub fn of(group: &str, op: &str) -> Vec<Self> {
        let prefix = format!("{group}.{op}.");
        let paths = Self::paths(&crate::cases_dir()).unwrap_or_else(|error| panic!("{error}"));
        let is_wanted = |path: &&PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
        };
        let read = |path: &PathBuf| Self::read(path).unwrap_or_else(|error| panic!("{error}"));
        let cases: Vec<_> = paths.iter().filter(is_wanted).map(read).collect();
        assert!(!cases.is_empty(), "no case of {group}.{op}");
        cases
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let text =
            |key: &str| metadata.get(key).cloned().ok_or_else(|| format!("its metadata has no '{key}'"));
        let number = |key: &str| {
            let text = text(key)?;
            text.parse::<f64>().map_err(|_| format!("its {key} is '{text}', expected a number"))
        };
        let format = text("format")?;
        if format != "ssl-conformance/1" {
            return Err(format!("its format is '{format}', expected 'ssl-conformance/1'"));
        }
        let params =
            serde_json::from_str(&text("params")?).map_err(|error| format!("its params: {error}"))?;
        Ok(Self {
            name: text("case")?,
            group: text("group")?,
            op: text("op")?,
            params,
            source: text("source")?,
            rtol: number("rtol")?,
            atol: number("atol")?,
            tensors: arrays(bytes)?,
        })
    }

    /// All tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, Array> {
        &self.tensors
    }

    /// The tensors whose name is `<prefix>.<rest>`, by `rest`.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Array)> {
        self.tensors.iter().filter_map(move |(name, array)| {
            name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')).map(|rest| (rest, array))
        })
    }

    /// A tensor.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn tensor(&self, name: &str) -> Result<&Array, CaseError> {
        self.tensors.get(name).ok_or_else(|| unlike(name, "missing".into(), "a tensor of the case".into()))
    }

    /// The shape and the values of a float tensor.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn f32(&self, name: &str) -> Result<(&[usize], &[f32]), CaseError> {
        let array = self.tensor(name)?;
        match &array.values {
            Values::F32(values) => Ok((&array.shape, values)),
            other => Err(unlike(name, other.dtype().into(), "F32".into())),
        }
    }

    /// The shape and the values of an integer tensor.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn i64(&self, name: &str) -> Result<(&[usize], &[i64]), CaseError> {
        let array = self.tensor(name)?;
        match &array.values {
            Values::I64(values) => Ok((&array.shape, values)),
            other => Err(unlike(name, other.dtype().into(), "I64".into())),
        }
    }

    /// A hyper-parameter.
    ///
    /// # Errors
    /// If there is none with that name, or it is not a `T`.
    pub fn param<T: DeserializeOwned>(&self, name: &str) -> Result<T, CaseError> {
        let value = self.params.get(name).cloned().unwrap_or_default();
        let unusable =
            |error: serde_json::Error| CaseError::Param { name: name.into(), reason: error.to_string() };
        serde_json::from_value(value).map_err(unusable)
    }

    /// The case with every number of its initial weights moved to a neighbouring float32, up or down by `seed`. Zeros stay, and what
    /// student and teacher have under one name moves alike.
    pub fn with_neighbouring_weights(&self, seed: u64) -> Self {
        let mut case = self.clone();
        for (name, array) in &mut case.tensors {
            let (Some(path), Values::F32(values)) = (name.strip_prefix("init."), &mut array.values) else {
                continue;
            };
            let path = path.trim_start_matches("teacher.").trim_start_matches("student.");
            let mut state = path
                .bytes()
                .fold(seed + 1, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
            for value in values.iter_mut().filter(|value| **value != 0.0) {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *value = if state >> 63 == 0 { value.next_up() } else { value.next_down() };
            }
        }
        case
    }

    /// Names of the tensors that an implementation must compute.
    pub fn expected(&self) -> impl Iterator<Item = &str> {
        let is_given = |name: &str| GIVEN.contains(&name.split('.').next().unwrap_or_default());
        self.tensors.keys().map(String::as_str).filter(move |name| !is_given(name))
    }

    /// Compares the outputs with everything that the case expects; other outputs are ignored.
    ///
    /// # Errors
    /// If an expected tensor was not computed, or has another type or shape.
    pub fn compare(&self, outputs: &Outputs) -> Result<Vec<(String, Comparison)>, CaseError> {
        let compare_one = |name: &str| {
            let missing = || unlike(name, "not computed".into(), "an output".into());
            let got = outputs.get(name).ok_or_else(missing)?;
            Ok((name.to_owned(), self.compare_tensor(name, got)?))
        };
        self.expected().map(compare_one).collect()
    }

    /// Panics unless every tensor that the case expects was computed and is within its tolerance.
    ///
    /// # Panics
    /// With the name of the first tensor that is missing, has another type or shape, or is too far off.
    pub fn assert_passes(&self, outputs: &Outputs) {
        let comparisons = self.compare(outputs).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        for (name, comparison) in comparisons {
            assert!(comparison.passes(), "{}: {name} is off by {} tolerances", self.name, comparison.ratio());
        }
    }

    /// Compares one computed tensor with the expected one.
    ///
    /// # Errors
    /// If the case does not expect it, or it has another type or shape.
    pub fn compare_tensor(&self, name: &str, got: &Array) -> Result<Comparison, CaseError> {
        let want = self.tensor(name)?;
        let kind = |array: &Array| format!("{} {:?}", array.values.dtype(), array.shape);
        if kind(got) != kind(want) {
            return Err(unlike(name, kind(got), kind(want)));
        }
        let rule = Rule {
            rtol: self.rtol,
            atol: self.atol,
            start: self.start(name).and_then(|start| self.tensors.get(&start)),
            mask: self.tensors.get(&format!("mask.{name}")),
        };
        Ok(compare(want, got, &rule))
    }

    /// The tensor that `name` is a changed version of, if the size of the change is the scale of its errors.
    fn start(&self, name: &str) -> Option<String> {
        let of_step = |prefix: &str| name.strip_prefix(prefix).and_then(|rest| rest.split_once('.'));
        match self.group.as_str() {
            "optim" => of_step("out.param.").map(|(_, path)| format!("in.param.{path}")),
            "ema" => of_step("out.teacher.").map(|(_, path)| format!("in.teacher.{path}")),
            "method" => {
                let path =
                    name.strip_prefix("final.student.").or_else(|| name.strip_prefix("final.teacher."));
                path.map(|path| format!("init.{path}"))
            }
            _ => None,
        }
    }
}

pub(crate) fn unlike(name: &str, found: String, expected: String) -> CaseError {
    CaseError::Tensor { name: name.to_owned(), found, expected }
}

fn arrays(bytes: &[u8]) -> Result<BTreeMap<String, Array>, String> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    tensors.iter().map(|(name, view)| Ok((name.to_owned(), array(name, &view)?))).collect()
}

fn array(name: &str, view: &TensorView<'_>) -> Result<Array, String> {
    let shape = view.shape().to_vec();
    match view.dtype() {
        Dtype::F32 => Ok(Array::f32(shape, numbers(view.data(), f32::from_le_bytes))),
        Dtype::I64 => Ok(Array::i64(shape, numbers(view.data(), i64::from_le_bytes))),
        Dtype::U8 => Ok(Array::u8(shape, view.data().to_vec())),
        other => Err(format!("its tensor '{name}' is of type {other:?}, expected F32, I64 or U8")),
    }
}

fn numbers<const N: usize, T>(bytes: &[u8], read: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|&chunk| read(chunk)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn file(metadata: &[(&str, &str)], tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
        let metadata: HashMap<_, _> =
            metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            (*name, TensorView::new(*dtype, shape.clone(), bytes).expect("bytes fit the shape"))
        });
        safetensors::serialize(views, Some(metadata)).expect("valid names")
    }

    fn metadata(group: &'static str) -> Vec<(&'static str, &'static str)> {
        let params = "{\"temperature\": 0.5, \"loss\": {\"scale\": 2}}";
        let case = ("case", "g.op.v");
        vec![("format", "ssl-conformance/1"), case, ("group", group), ("op", "op"), ("params", params)]
            .into_iter()
            .chain([("source", "a paper"), ("rtol", "1e-2"), ("atol", "0.0")])
            .collect()
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn case(group: &'static str, tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) -> Case {
        Case::decode(&file(&metadata(group), tensors)).expect("a case")
    }

    #[test]
    fn every_case_of_the_repository_can_be_read_under_its_name() {
        let paths = Case::paths(&crate::cases_dir()).expect("the cases are part of the repository");
        assert!(paths.len() > 100);
        for path in paths {
            let case = Case::read(&path).expect("a valid case");
            assert_eq!(path.file_stem().expect("a name").to_string_lossy(), case.name);
            assert!(case.name.starts_with(&format!("{}.{}.", case.group, case.op)));
            assert!(case.expected().count() > 0, "{} expects nothing", case.name);
        }
    }

    #[test]
    fn tensors_and_parameters_are_found_by_name_and_type() {
        let case = case(
            "loss",
            &[
                ("in.z", Dtype::F32, vec![2, 1], floats(&[1.0, 2.0])),
                ("in.labels", Dtype::I64, vec![1], 7_i64.to_le_bytes().to_vec()),
                ("out.loss", Dtype::F32, vec![], floats(&[0.5])),
            ],
        );
        assert_eq!(case.f32("in.z").expect("floats"), (&[2, 1][..], &[1.0, 2.0][..]));
        assert_eq!(case.i64("in.labels").expect("integers").1, [7]);
        assert_eq!(case.param::<f64>("temperature").expect("a number"), 0.5);
        assert_eq!(case.expected().collect::<Vec<_>>(), ["out.loss"]);
        assert_eq!(case.under("in").map(|(name, _)| name).collect::<Vec<_>>(), ["labels", "z"]);
        let error = case.f32("in.labels").expect_err("integers").to_string();
        assert_eq!(error, "tensor 'in.labels' is I64, expected F32");
        assert!(case.tensor("in.q").expect_err("no such tensor").to_string().contains("missing"));
        assert!(
            case.param::<f64>("momentum").expect_err("no such parameter").to_string().contains("momentum")
        );
    }

    #[test]
    fn a_file_of_another_format_says_so() {
        let mut other = metadata("loss");
        other[0] = ("format", "ssl-conformance/2");
        let reason = Case::decode(&file(&other, &[])).expect_err("another format");
        assert_eq!(reason, "its format is 'ssl-conformance/2', expected 'ssl-conformance/1'");
        assert!(Case::decode(b"not a file").is_err());
        assert!(
            Case::decode(&file(&metadata("loss")[1..], &[])).expect_err("no format").contains("'format'")
        );
    }

    #[test]
    fn missing_and_misshapen_outputs_are_named() {
        let case = case("loss", &[("out.loss", Dtype::F32, vec![], floats(&[0.5]))]);
        let error = case.compare(&Outputs::new()).expect_err("nothing computed").to_string();
        assert_eq!(error, "tensor 'out.loss' is not computed, expected an output");
        let outputs = Outputs::from([("out.loss".into(), Array::f32([1], vec![0.5]))]);
        let error = case.compare(&outputs).expect_err("another shape").to_string();
        assert_eq!(error, "tensor 'out.loss' is F32 [1], expected F32 []");
    }

    #[test]
    #[should_panic(expected = "g.op.v: out.loss is off by ")]
    fn a_value_that_is_too_far_off_is_named() {
        let case = case("loss", &[("out.loss", Dtype::F32, vec![], floats(&[0.5]))]);
        case.assert_passes(&Outputs::from([("out.loss".into(), Array::f32([], vec![0.6]))]));
    }

    #[test]
    fn an_updated_parameter_is_compared_on_the_scale_of_its_change() {
        let tensors = [
            ("in.param.w", Dtype::F32, vec![1], floats(&[100.0])),
            ("out.param.3.w", Dtype::F32, vec![1], floats(&[101.0])),
        ];
        let got = Array::f32([1], vec![101.5]);
        let optim = case("optim", &tensors).compare_tensor("out.param.3.w", &got).expect("same shape");
        let loss = case("loss", &tensors).compare_tensor("out.param.3.w", &got).expect("same shape");
        assert!(!optim.passes() && loss.passes(), "a half of the change, half a per cent of the value");
    }
}
