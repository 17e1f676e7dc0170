//! A model, and its file.

use prost::Message;

use crate::classifier::{self, Classifier};
use crate::graph::{Graph, Value};
use crate::messages::{
    DimensionProto, FLOAT, GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use crate::{Input, OnnxError, Tensors, convnext, resnet, vit};

/// The version of the operators.
pub const OPSET: i64 = 17;
/// The version of the format that came with [`OPSET`].
const IR_VERSION: i64 = 8;
/// Bytes that a file of protobuf has at most.
const MOST_BYTES: usize = i32::MAX as usize;
/// The name of the axis whose length is free.
const BATCH: &str = "batch";

/// What is written: the network with everything around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The network.
    pub network: Network,
    /// Height and width of the images, in pixels.
    pub image_size: usize,
    /// What goes into the graph. Default [`Input::Normalized`].
    pub input: Input,
    /// The classifier on top. Default: none.
    pub classifier: Option<Classifier>,
    /// Keys and values that the file has beside the graph. Default: none.
    pub metadata: Vec<(String, String)>,
}

/// What the tensors of a network do not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Network {
    /// A ResNet of basic blocks or bottlenecks.
    ResNet {
        /// Whether the first convolution has stride 2 and a max-pool after it (ImageNet), or neither (small images).
        max_pool: bool,
    },
    /// A vision transformer.
    Vit {
        /// Number of attention heads.
        heads: usize,
        /// What the feature is made of.
        pool: Pool,
    },
    /// A ConvNeXt.
    ConvNext,
}

/// What the feature of a ViT is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// The normalised class token.
    Class,
    /// The mean of the normalised patches.
    Mean,
}

impl Model {
    /// A network for images of `image_size` pixels that are normalised already, without classifier and metadata.
    pub fn new(network: Network, image_size: usize) -> Self {
        Self { network, image_size, input: Input::default(), classifier: None, metadata: Vec::new() }
    }

    /// Sets what goes into the graph.
    pub fn with_input(mut self, input: Input) -> Self {
        self.input = input;
        self
    }

    /// Sets the classifier on top.
    pub fn with_classifier(mut self, classifier: impl Into<Option<Classifier>>) -> Self {
        self.classifier = classifier.into();
        self
    }

    /// Adds a key and its value beside the graph.
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// The bytes of a file. Equal models and tensors give equal bytes.
    ///
    /// # Shapes
    /// - `images`: see [`Input`]
    /// - `features`: `[batch, feature]`
    /// - `scores`: `[batch, class]`, if there is a classifier
    ///
    /// # Errors
    /// If a tensor is missing, left over (other than `mask_token`) or of an unusable shape, or the file would have 2 GiB or more.
    pub fn encode(&self, tensors: Tensors) -> Result<Vec<u8>, OnnxError> {
        let mut graph = Graph::new(tensors);
        let scope = if self.classifier.is_some() { "encoder." } else { "" };
        let images = self.input.normalized(&mut graph, &Value("images".to_owned()));
        graph.enter(scope);
        graph.ignore("mask_token");
        let features = self.features(&mut graph, &images)?;
        graph.enter("");
        let features = graph.node("Identity", "features", &[&features], []);
        let mut outputs = vec![float_output("features")];
        if let Some(classifier) = &self.classifier {
            let scores = classifier::scores(&mut graph, &features, classifier)?;
            graph.node("Identity", "scores", &[&scores], []);
            outputs.push(float_output("scores"));
        }
        if let Some(tensor) = graph.left_over() {
            return Err(OnnxError::LeftOver(tensor.to_owned()));
        }
        encoded(&self.around(graph, outputs))
    }

    fn features(&self, graph: &mut Graph, images: &Value) -> Result<Value, OnnxError> {
        match self.network {
            Network::ResNet { max_pool } => resnet::features(graph, images, max_pool),
            Network::Vit { heads, pool } => vit::features(graph, images, heads, pool),
            Network::ConvNext => convnext::features(graph, images),
        }
    }

    fn around(&self, graph: Graph, output: Vec<ValueInfoProto>) -> ModelProto {
        let shape = self.input.shape(self.image_size).map(fixed);
        let dims = std::iter::once(free(BATCH)).chain(shape).collect();
        let entry = |(key, value): &(String, String)| StringStringEntryProto {
            key: key.clone(),
            value: value.clone(),
        };
        ModelProto {
            ir_version: IR_VERSION,
            producer_name: "burn-ssl".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(GraphProto {
                node: graph.nodes,
                name: "encoder".to_owned(),
                initializer: graph.constants,
                input: vec![value_info("images", self.input.data_type(), dims)],
                output,
            }),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
            metadata_props: self.metadata.iter().map(entry).collect(),
        }
    }
}

fn encoded(model: &ModelProto) -> Result<Vec<u8>, OnnxError> {
    let len = model.encoded_len();
    if len > MOST_BYTES { Err(OnnxError::TooLarge(len)) } else { Ok(model.encode_to_vec()) }
}

fn float_output(name: &str) -> ValueInfoProto {
    value_info(name, FLOAT, vec![free(BATCH), free(&format!("{name}_dim"))])
}

fn value_info(name: &str, elem_type: i32, dim: Vec<DimensionProto>) -> ValueInfoProto {
    let tensor_type = TensorTypeProto { elem_type, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}

fn fixed(length: usize) -> DimensionProto {
    DimensionProto { dim_value: Some(length as i64), dim_param: None }
}

fn free(name: &str) -> DimensionProto {
    DimensionProto { dim_value: None, dim_param: Some(name.to_owned()) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{Activation, Normalization, Tensor};

    /// Tensors of ones, by name and shape.
    fn ones(shapes: &[(&str, &[usize])]) -> Tensors {
        let tensor = |shape: &[usize]| Tensor::new(shape, vec![1.0; shape.iter().product()]);
        shapes.iter().map(|(name, shape)| ((*name).to_owned(), tensor(shape))).collect()
    }

    fn norm(tensors: &mut Tensors, path: &str, dim: usize) {
        for name in ["weight", "bias"] {
            tensors.insert(format!("{path}.{name}"), Tensor::new([dim], vec![1.0; dim]));
        }
    }

    fn linear(tensors: &mut Tensors, path: &str, inputs: usize, outputs: usize) {
        tensors.insert(format!("{path}.weight"), Tensor::new([outputs, inputs], vec![1.0; inputs * outputs]));
        tensors.insert(format!("{path}.bias"), Tensor::new([outputs], vec![1.0; outputs]));
    }

    /// One block on tokens of 4, patches of 2 in images of 4.
    fn vit() -> Tensors {
        let mut tensors = ones(&[
            ("cls_token", &[1, 1, 4]),
            ("pos_embed", &[1, 5, 4]),
            ("register_tokens", &[1, 2, 4]),
            ("mask_token", &[1, 4]),
            ("patch_embed.proj.weight", &[4, 3, 2, 2]),
            ("patch_embed.proj.bias", &[4]),
            ("blocks.0.ls1.gamma", &[4]),
            ("blocks.0.ls2.gamma", &[4]),
        ]);
        ["norm", "blocks.0.norm1", "blocks.0.norm2"].iter().for_each(|path| norm(&mut tensors, path, 4));
        linear(&mut tensors, "blocks.0.attn.qkv", 4, 12);
        linear(&mut tensors, "blocks.0.attn.proj", 4, 4);
        linear(&mut tensors, "blocks.0.mlp.fc1", 4, 8);
        linear(&mut tensors, "blocks.0.mlp.fc2", 8, 4);
        tensors
    }

    fn model(pool: Pool) -> Model {
        Model::new(Network::Vit { heads: 2, pool }, 4)
    }

    fn decoded(model: &Model, tensors: Tensors) -> ModelProto {
        ModelProto::decode(&model.encode(tensors).expect("usable")[..]).expect("a message")
    }

    /// Checks that every name is given once, and before it is used.
    fn assert_sound(model: &ModelProto) {
        let graph = model.graph.as_ref().expect("a graph");
        let inputs = graph.input.iter().map(|input| input.name.clone());
        let constants = graph.initializer.iter().map(|tensor| tensor.name.clone());
        let mut known = BTreeSet::new();
        inputs.chain(constants).for_each(|name| assert!(known.insert(name.clone()), "{name} twice"));
        for node in &graph.node {
            let unknown = node.input.iter().find(|name| !known.contains(*name));
            assert_eq!(unknown, None, "an input of {}", node.name);
            node.output.iter().for_each(|name| assert!(known.insert(name.clone()), "{name} twice"));
        }
        graph.output.iter().for_each(|output| assert!(known.contains(&output.name), "{}", output.name));
    }

    #[test]
    fn every_value_of_a_graph_comes_from_somewhere() {
        for pool in [Pool::Class, Pool::Mean] {
            assert_sound(&decoded(&model(pool), vit()));
        }
        let without = || vit().into_iter().filter(|(name, _)| !name.contains("token"));
        let mut patches: Tensors = without().collect();
        patches.extend(ones(&[("pos_embed", &[1, 4, 4])]));
        assert_sound(&decoded(&model(Pool::Mean), patches));
    }

    #[test]
    fn the_batch_alone_is_free_and_bytes_are_normalized_inside() {
        let normalization = Normalization { mean: [0.5; 3], std: [0.25; 3] };
        let model = model(Pool::Class).with_input(Input::Bytes(normalization)).with_metadata("a", "b");
        let model = decoded(&model, vit());
        assert_sound(&model);
        assert_eq!((model.ir_version, model.opset_import[0].version), (8, 17));
        assert_eq!((&*model.metadata_props[0].key, &*model.metadata_props[0].value), ("a", "b"));
        let graph = model.graph.expect("a graph");
        let kind = graph.input[0].r#type.clone().and_then(|kind| kind.tensor_type).expect("a tensor");
        let dims = kind.shape.expect("a shape").dim;
        assert_eq!(dims, [free("batch"), fixed(4), fixed(4), fixed(3)]);
        let mean = graph.initializer.iter().find(|tensor| tensor.name == "images.mean").expect("a mean");
        assert_eq!(mean.raw_data[..4], 127.5_f32.to_le_bytes());
        assert_eq!(graph.node[0].op_type, "Cast");
    }

    #[test]
    fn a_classifier_gives_scores_beside_the_features() {
        let mut tensors: Tensors =
            vit().into_iter().map(|(name, tensor)| (format!("encoder.{name}"), tensor)).collect();
        linear(&mut tensors, "neck.layers.0.linear", 4, 6);
        linear(&mut tensors, "head", 6, 3);
        let classifier = Classifier { neck: vec![Activation::Relu] };
        let model = decoded(&model(Pool::Class).with_classifier(classifier), tensors);
        assert_sound(&model);
        let outputs = model.graph.expect("a graph").output;
        assert_eq!(outputs.iter().map(|output| &*output.name).collect::<Vec<_>>(), ["features", "scores"]);
    }

    #[test]
    fn tensors_that_are_missing_left_over_or_of_another_rank_are_named() {
        let error =
            |tensors: Tensors| model(Pool::Class).encode(tensors).expect_err("no such network").to_string();
        let mut tensors = vit();
        tensors.remove("norm.bias");
        let sentence = "tensor 'norm.bias' is missing: expected the tensors of the network that is described";
        assert_eq!(error(tensors), sentence);
        let mut tensors = vit();
        tensors.extend(ones(&[("blocks.0.attn.extra", &[1])]));
        assert!(error(tensors).starts_with("tensor 'blocks.0.attn.extra' has no place in the graph"));
        let mut tensors = vit();
        tensors.extend(ones(&[("blocks.0.mlp.fc1.weight", &[8])]));
        assert_eq!(error(tensors), "tensor 'blocks.0.mlp.fc1.weight' has shape [8], expected 2 axes");
    }

    #[test]
    fn equal_tensors_give_equal_bytes() {
        let file = || model(Pool::Mean).encode(vit()).expect("usable");
        assert_eq!(file(), file());
    }
}
