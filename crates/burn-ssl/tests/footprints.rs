//! Whether methods tell the memory of their heads, teachers and queues as they are.
#![cfg(all(feature = "flex", feature = "methods"))]

use burn::module::Module;
use burn_ssl::core::{Init, TokenEncoder, TokenShape, named};
use burn_ssl::prelude::*;
use burn_ssl::registry::{METHODS, WithMethod, with_method};

/// How far counts may be apart: a footprint counts a bias and a norm for every layer.
const TOLERANCE: f64 = 0.03;

/// The values of student and state as a method makes them, and as its footprint says.
struct Counts<'a>(&'a Recipe);

impl WithMethod<AnyEncoder> for Counts<'_> {
    type Output = [(f64, f64); 2];

    fn run<M: SslMethod<AnyEncoder>>(self, method: M) -> Self::Output {
        let Self(recipe) = self;
        let device = DeviceSpec::Flex.open().expect("flex is compiled in").autodiff();
        let mut init = Init::new(0, &device);
        let encoder = recipe.encoder.init(32, &mut init).expect("usable");
        let (features, of_encoder) = (encoder.feature_dim(), values(&encoder));
        let shape = |tokens: &dyn TokenEncoder| TokenShape {
            feature_dim: features,
            images: 8,
            views: 2,
            patches: tokens.side().pow(2),
            patch_size: tokens.patch_size(),
            seen: 1.0,
            targets: 4,
            target: 0.2,
        };
        let shape = encoder.tokens().map(shape);
        let (student, state) = method.init(encoder, &mut init);
        let found = match shape {
            Some(shape) => method.token_footprint(&shape),
            None => method.footprint(features, 8, 2),
        };
        let teacher = found.teacher_heads.map_or(0.0, |_| of_encoder + found.teacher_parameters());
        let told = [of_encoder + found.parameters(), teacher + found.state];
        [(values(&student), told[0]), (values(&state), told[1])]
    }
}

fn values(module: &impl Module) -> f64 {
    named::collect(module).values().map(|tensor| tensor.num_elements() as f64).sum()
}

#[test]
fn a_footprint_has_the_sizes_of_student_and_state() {
    for method in METHODS {
        let mut recipe = Recipe::named(&format!("{}/cifar10-quick", method.name)).expect("a recipe");
        if !recipe.encoder.is_vit() {
            recipe.encoder.width = 8;
        }
        let recipe = recipe.resolved().expect("usable");
        let counts = with_method(method.name, &recipe.method_options, Counts(&recipe)).expect("usable");
        for (made, told) in counts {
            let apart = (made - told).abs();
            assert!(apart <= TOLERANCE * made.max(100.0), "{}: {made} made, {told} told", method.name);
        }
    }
}
