//! A tensor on the host.

/// A tensor on the host, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Lengths of the axes; empty for a single number.
    pub shape: Vec<usize>,
    /// The values.
    pub values: Values,
}

/// The values of an [`Array`], in one of the three number types of a case.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Everything that is computed.
    F32(Vec<f32>),
    /// Labels, indices, counters.
    I64(Vec<i64>),
    /// Images.
    U8(Vec<u8>),
}

impl Array {
    /// An array of floats.
    ///
    /// # Panics
    /// If their number does not match the shape.
    pub fn f32(shape: impl Into<Vec<usize>>, values: Vec<f32>) -> Self {
        Self::new(shape.into(), Values::F32(values))
    }

    /// An array of integers.
    ///
    /// # Panics
    /// If their number does not match the shape.
    pub fn i64(shape: impl Into<Vec<usize>>, values: Vec<i64>) -> Self {
        Self::new(shape.into(), Values::I64(values))
    }

    /// An array of bytes.
    ///
    /// # Panics
    /// If their number does not match the shape.
    pub fn u8(shape: impl Into<Vec<usize>>, values: Vec<u8>) -> Self {
        Self::new(shape.into(), Values::U8(values))
    }

    fn new(shape: Vec<usize>, values: Values) -> Self {
        assert_eq!(
            shape.iter().product::<usize>(),
            values.len(),
            "number of values of an array of shape {shape:?}"
        );
        Self { shape, values }
    }
}

impl Values {
    /// The number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::U8(values) => values.len(),
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number type, as safetensors spells it.
    pub fn dtype(&self) -> &'static str {
        match self {
            Self::F32(_) => "F32",
            Self::I64(_) => "I64",
            Self::U8(_) => "U8",
        }
    }
}
