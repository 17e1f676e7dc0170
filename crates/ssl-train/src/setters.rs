//! Builder-style setters of configurations.

/// Writes `with_*` setters, one line each: `with_lr: lr = f64`, and `with_lr_1d: lr_1d = Option<f64>`, which takes a plain
/// value as well.
macro_rules! setters {
    ($config:ident { $($setter:ident: $field:ident = $kind:tt $(<$inner:ty>)?),+ $(,)? }) => {
        impl $config {
            $(setters!(@one $setter $field $kind $(<$inner>)?);)+
        }
    };
    (@one $setter:ident $field:ident Option<$inner:ty>) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
        pub fn $setter(mut self, $field: impl Into<Option<$inner>>) -> Self {
            self.$field = $field.into();
            self
        }
    };
    (@one $setter:ident $field:ident $kind:tt $(<$inner:ty>)?) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
        pub fn $setter(mut self, $field: $kind $(<$inner>)?) -> Self {
            self.$field = $field;
            self
        }
    };
}

pub(crate) use setters;
