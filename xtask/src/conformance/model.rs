//! Encoders: features, gradients, running statistics.

use anyhow::{Context, Result, bail, ensure};
use burn::module::Module;
use burn::tensor::{Bool, DType, Gradients as Recorded, Int, Tensor, TensorData};
use serde::Deserialize;
use ssl_core::named::{collect, is_buffer};
use ssl_core::nn::{AxisOrder, sine_cosine_positions};
use ssl_core::{Encoder, Init, Mask, Masking, Pass, SslMethod, Tokens};
use ssl_encoders::vit;
use ssl_ijepa::{Predictor, PredictorInput};
use ssl_mae::MaeStudent;
use ssl_testing::tensors::{array, data, device, tensor};
use ssl_testing::{Case, LossInputs, Outputs};
use ssl_train::Gradients;

use super::Op;
use super::modules::{gradient_arrays, load};
use super::recipe::{DecoderSpec, EncoderSpec, PredictorSpec};

pub(super) const OPS: &[(&str, Op)] = &[
    ("convnext", convnext),
    ("ijepa_predictor", ijepa_predictor),
    ("mae", mae),
    ("pos_embed_resize", pos_embed_resize),
    ("sincos_pos_embed", sincos_pos_embed),
    ("resnet", |case| encoder(case, "out.train")),
    ("vit", |case| encoder(case, "out.cls")),
    ("vit_tokens", vit_tokens),
];

/// One pass in training mode with its gradients, then one in evaluation mode.
fn encoder(case: &Case, features_name: &str) -> Result<Outputs> {
    let spec: EncoderSpec = case.param("arch")?;
    let encoder = spec.init(&mut Init::new(0, &device().autodiff()));
    let encoder = load(encoder, case, str::to_owned)?;

    let mut inputs = LossInputs::of(case);
    let features = encoder.encode(inputs.take_one("x")?, &Pass::train());
    let mut outputs = loss_and_gradients(case, inputs, &features, &encoder)?;
    outputs.insert(features_name.to_owned(), array(&features.into_data()));
    for (path, data) in collect(&encoder).iter().filter(|(path, _)| is_buffer(path)) {
        outputs.insert(format!("out.buffer.{path}"), array(data));
    }
    let evaluated = encoder.valid().encode(tensor::<4>(case, "in.x")?, &Pass::eval());
    outputs.insert("out.eval".into(), array(&evaluated.into_data()));
    Ok(outputs)
}

/// [`encoder`], and the map before its mean: `xtask/baseline/convnext_cases.py` writes the cases.
fn convnext(case: &Case) -> Result<Outputs> {
    let mut outputs = encoder(case, "out.train")?;
    let spec: EncoderSpec = case.param("arch")?;
    let network = load(spec.init(&mut Init::new(0, &device())), case, str::to_owned)?;
    let map = network.feature_map(tensor::<4>(case, "in.x")?, &Pass::eval());
    let map = map.context("an encoder without a map, expected a ConvNeXt")?;
    outputs.insert("out.map".to_owned(), array(&map.into_data()));
    Ok(outputs)
}

/// One pass that gives tokens, with its gradients.
fn vit_tokens(case: &Case) -> Result<Outputs> {
    let spec: EncoderSpec = case.param("arch")?;
    let encoder = spec.with_learned_positions().init(&mut Init::new(0, &device().autodiff()));
    let encoder = load(encoder, case, str::to_owned)?;

    let mut inputs = LossInputs::of(case);
    let network = encoder.tokens().context("an encoder without tokens, expected a ViT")?;
    let tokens = in_one(network.encode_tokens(inputs.take_one("x")?, masking(case)?, &Pass::train()));
    let mut outputs = loss_and_gradients(case, inputs, &tokens, &encoder)?;
    outputs.insert("out.tokens".to_owned(), array(&tokens.into_data()));
    Ok(outputs)
}

/// An encoder on kept patches and a decoder on its tokens, with the gradients of the loss.
fn mae(case: &Case) -> Result<Outputs> {
    let arch: MaeSpec = case.param("arch")?;
    let method = arch.decoder.mae(arch.norm_pix_loss)?;
    let mut init = Init::new(0, &device().autodiff());
    let (student, _) = method.init(arch.encoder.init(&mut init), &mut init);
    let student: MaeStudent<_> = load(student, case, str::to_owned)?;

    let Masking::Keep(kept) = masking(case)? else { bail!("a case without kept patches") };
    let mask = Mask::Keep(kept);
    let mut inputs = LossInputs::of(case);
    let x = inputs.take_one("x")?;
    let (tokens, pred) = student.predict(x.clone(), &mask, &Pass::train());
    let [_, patches, _] = pred.dims();
    let hidden = mask.hidden(patches);
    let loss = ssl_mae::mae(x, pred.clone(), hidden.clone(), arch.norm_pix_loss);
    let (mut outputs, recorded) = inputs.backward(loss)?;
    outputs.extend(parameter_gradients(recorded, &student)?);
    outputs.insert("out.latent".to_owned(), array(&in_one(tokens).into_data()));
    outputs.insert("out.pred".to_owned(), array(&pred.into_data()));
    outputs.insert("out.mask".to_owned(), array(&hidden.into_data().convert_dtype(DType::I64)));
    Ok(outputs)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MaeSpec {
    encoder: EncoderSpec,
    decoder: DecoderSpec,
    norm_pix_loss: bool,
}

/// A predictor of tokens, on contexts of which an image may have several: as many images, after one another within each block.
fn ijepa_predictor(case: &Case) -> Result<Outputs> {
    let arch: IJepaSpec = case.param("arch")?;
    let predictor = InPredictor { predictor: arch.predictor.init(&mut Init::new(0, &device().autodiff())) };
    let predictor = load(predictor, case, str::to_owned)?;
    let places =
        |name: &str| -> Result<Tensor<3, Int>> { Ok(Tensor::from_data(data(case.tensor(name)?), &device())) };
    let (context, targets) = (places("in.ids_context")?, places("in.ids_target")?);
    let ([contexts, batch, kept], [blocks, _, count]) = (context.dims(), targets.dims());
    let targets = targets.unsqueeze_dim::<4>(1).expand([blocks, contexts, batch, count]);
    let mut inputs = LossInputs::of(case);
    let input = PredictorInput {
        context: inputs.take_one("x")?,
        context_places: context.reshape([contexts * batch, kept]),
        target_places: targets.reshape([blocks, contexts * batch, count]),
        grid: [arch.predictor.side(); 2],
    };
    let pred = predictor.predictor.forward(input, &Pass::train());
    let mut outputs = loss_and_gradients(case, inputs, &pred, &predictor)?;
    outputs.insert("out.pred".to_owned(), array(&pred.into_data()));
    Ok(outputs)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IJepaSpec {
    predictor: PredictorSpec,
}

/// The names of a case start with `predictor`.
#[derive(Module, Debug)]
struct InPredictor {
    predictor: Predictor,
}

/// The sum of an output, weighted as the case says, and its gradients.
fn loss_and_gradients<const D: usize>(
    case: &Case,
    inputs: LossInputs<'_>,
    output: &Tensor<D>,
    encoder: &impl Module,
) -> Result<Outputs> {
    let loss = (output.clone() * tensor(case, "in.loss_weights")?).sum();
    let (mut outputs, recorded) = inputs.backward(loss)?;
    outputs.extend(parameter_gradients(recorded, encoder)?);
    Ok(outputs)
}

fn parameter_gradients(recorded: Recorded, module: &impl Module) -> Result<Outputs> {
    let gradients = gradient_arrays(&Gradients::of(recorded, module), module)?.into_iter();
    Ok(gradients.map(|(path, gradient)| (format!("grad.param.{path}"), gradient)).collect())
}

/// The mask of a case, if it has one: `in.ids_keep` or `in.mask`.
fn masking(case: &Case) -> Result<Masking> {
    let device = device();
    if let Ok((shape, places)) = case.i64("in.ids_keep") {
        let places = TensorData::new(places.to_vec(), shape.to_vec());
        return Ok(Masking::Keep(Tensor::<2, Int>::from_data(places, &device)));
    }
    let Ok((shape, mask)) = case.i64("in.mask") else { return Ok(Masking::None) };
    let mask = TensorData::new(mask.iter().map(|&hidden| hidden == 1).collect(), shape.to_vec());
    Ok(Masking::Replace(Tensor::<3, Bool>::from_data(mask, &device).flatten(1, 2)))
}

/// Class token, registers and patches, as far as they exist, `[batch, token, dim]`.
fn in_one(tokens: Tokens) -> Tensor<3> {
    let class = tokens.class.map(|class| class.unsqueeze_dim(1));
    Tensor::cat(class.into_iter().chain(tokens.registers).chain([tokens.patches]).collect(), 1)
}

fn pos_embed_resize(case: &Case) -> Result<Outputs> {
    let (a, offset): (f64, f64) = (case.param("a")?, case.param("offset")?);
    ensure!((a, offset) == (-0.75, 0.1), "a and offset are {a} and {offset}, expected -0.75 and 0.1");
    let resized = vit::resize_pos_embed(tensor(case, "in.pos_embed")?, case.param("grid_out")?);
    Ok(Outputs::from([("out.pos_embed".to_owned(), array(&resized.into_data()))]))
}

fn sincos_pos_embed(case: &Case) -> Result<Outputs> {
    let (side, dim, class_tokens) = (case.param("grid")?, case.param("dim")?, case.param("prefix")?);
    let positions = sine_cosine_positions(side, dim, class_tokens, AxisOrder::ColumnRow);
    Ok(Outputs::from([("out.pos_embed".to_owned(), array(&positions))]))
}
