/// Generates the setters of a configuration, one `with_<field>` per field.
///
/// A setter for an `Option` field also takes a plain value. Fields with a custom setter, or none, are listed after a
/// semicolon; a field that is not listed at all is a compile error.
///
/// ```
/// #[derive(Clone, Debug, Default)]
/// pub struct Config {
///     /// `T` of the loss.
///     pub temperature: f64,
///     /// Rows of the queue; none for no queue.
///     pub queue_len: Option<usize>,
///     /// Start and end of the momentum.
///     pub momentum: [f64; 2],
/// }
///
/// ssl_core::setters!(Config {
///     with_temperature: temperature = f64,
///     with_queue_len: queue_len = Option<usize>;
///     momentum,
/// });
///
/// let config = Config::default().with_temperature(0.1).with_queue_len(64);
/// assert_eq!((config.temperature, config.queue_len), (0.1, Some(64)));
/// ```
#[macro_export]
macro_rules! setters {
    ($config:ident {
        $($setter:ident: $field:ident = $kind:tt $(<$inner:ty>)?),+ $(,)? $(; $($other:ident),+ $(,)?)?
    }) => {
        impl $config {
            $($crate::setters!(@one $setter $field $kind $(<$inner>)?);)+
        }

        const _: fn($config) = |$config { $($field: _,)+ $($($other: _,)+)? }| {};
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
