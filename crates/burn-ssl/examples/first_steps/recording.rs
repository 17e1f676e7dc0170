//! A method that wraps another one and records its steps.

use std::cell::RefCell;
use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{DType, Int, Tensor, TensorData};
use burn_ssl::core::{ConfigError, EmbeddingLoss, GradientRules, Mask, Mlp, Needs, named};
use burn_ssl::prelude::*;
use burn_ssl::train::StepReport;

/// What was recorded of a run.
#[derive(Default)]
pub(crate) struct Tape {
    pub(crate) tensors: BTreeMap<String, TensorData>,
    /// Learning rate of the weights at every step.
    pub(crate) lr: Vec<f64>,
    pub(crate) steps_per_epoch: u64,
    pub(crate) total_steps: u64,
}

impl Tape {
    fn insert_module(&mut self, prefix: &str, module: &impl Module) {
        let tensors = named::collect(module).into_iter();
        self.tensors.extend(tensors.map(|(path, data)| (format!("{prefix}{path}"), data)));
    }

    fn insert_views(&mut self, step: u64, views: &Views) {
        for (index, crop) in views.crops.iter().enumerate() {
            self.tensors.insert(format!("views.{step}.{index}"), crop.to_data().convert_dtype(DType::F32));
        }
        if let Some(labels) = &views.labels {
            self.tensors.insert(format!("labels.{step}"), labels.to_data().convert_dtype(DType::I64));
        }
    }

    /// The masks by the names of the conformance suite; those of several views stand one after another.
    fn insert_masks(&mut self, step: u64, views: &Views) {
        let (mut kept, mut hidden) = (Vec::new(), Vec::new());
        for mask in views.masks.iter().flatten() {
            match mask {
                Mask::Keep(places) => kept.push(places.clone()),
                Mask::Replace(mask) => hidden.push(mask.clone().int()),
                Mask::Predict { context, targets } => {
                    self.insert_places(step, "ids_context", context.clone().unsqueeze::<3>());
                    self.insert_places(step, "ids_target", targets.clone().swap_dims(0, 1));
                }
            }
        }
        for (name, masks) in [("ids_keep", kept), ("mask", hidden)] {
            if !masks.is_empty() {
                self.insert_places(step, name, Tensor::cat(masks, 0));
            }
        }
    }

    fn insert_places<const D: usize>(&mut self, step: u64, name: &str, places: Tensor<D, Int>) {
        self.tensors.insert(format!("aux.{step}.{name}"), places.into_data().convert_dtype(DType::I64));
    }

    /// The directions of LeJEPA before they get unit length.
    fn insert_slices(&mut self, [dim, count]: [usize; 2], context: &StepContext) {
        let numbers = context.draws.normal("slices", dim * count);
        let name = format!("aux.{}.slices", context.at.step);
        self.tensors.insert(name, TensorData::new(numbers, [dim, count]));
    }

    /// The orders in which keys are encoded, by the names of the conformance suite.
    fn insert_orders(&mut self, batch: usize, context: &StepContext) {
        for name in ["shuffle.0", "shuffle.1"] {
            let order: Vec<i64> =
                context.draws.permutation(name, batch).into_iter().map(|place| place as i64).collect();
            let name = format!("aux.{}.{name}", context.at.step);
            self.tensors.insert(name, TensorData::new(order, [batch]));
        }
    }
}

/// Counts the steps, and stops the run after the last one that is wanted.
pub(crate) struct Watch<'a> {
    pub(crate) tape: &'a RefCell<Tape>,
    pub(crate) steps: u64,
}

impl Observer for Watch<'_> {
    fn on_step(&mut self, report: &StepReport) {
        let mut tape = self.tape.borrow_mut();
        tape.lr.push(report.lr);
        (tape.steps_per_epoch, tape.total_steps) = (report.at.steps_per_epoch, report.at.total_steps);
    }

    fn stop(&self) -> bool {
        self.tape.borrow().lr.len() as u64 >= self.steps
    }
}

/// The method, and where what it sees is kept.
pub(crate) struct Recording<'a, M> {
    pub(crate) method: M,
    pub(crate) tape: &'a RefCell<Tape>,
    /// Whether the method draws an order for each of its up to two encodings of keys.
    pub(crate) shuffles: bool,
    /// Length and number of the directions that the method draws, if it does.
    pub(crate) slices: Option<[usize; 2]>,
    /// The tensors of an earlier file whose end is the start of this run.
    pub(crate) start: Option<&'a BTreeMap<String, TensorData>>,
    /// Steps to record.
    pub(crate) steps: u64,
}

impl<M> Recording<'_, M> {
    /// The module with the tensors that the earlier run left.
    fn started<T: Module>(&self, prefix: &str, module: T) -> T {
        let Some(start) = self.start else { return module };
        let of_module = start.iter().filter_map(|(path, data)| {
            let path = path.strip_prefix(prefix)?;
            Some((path.to_owned(), data.clone()))
        });
        named::load(module, of_module.collect()).expect("the earlier run was of the same method and network")
    }
}

impl<M: MethodRules> MethodRules for Recording<'_, M> {
    fn needs(&self) -> Needs {
        self.method.needs()
    }

    fn gradient_rules(&self, at: Progress) -> GradientRules {
        self.method.gradient_rules(at)
    }

    fn embeds_in_chunks(&self) -> bool {
        self.method.embeds_in_chunks()
    }

    fn kept_layers(&self) -> usize {
        self.method.kept_layers()
    }
}

impl<E: Encoder, M: SslMethod<E>> SslMethod<E> for Recording<'_, M> {
    type Student = M::Student;
    type State = M::State;
    type Carry = M::Carry;

    fn init(&self, encoder: E, init: &mut Init) -> (M::Student, M::State) {
        let (student, state) = self.method.init(encoder, init);
        let (student, state) = (self.started("end.student.", student), self.started("end.state.", state));
        let mut tape = self.tape.borrow_mut();
        tape.insert_module("init.student.", &student);
        tape.insert_module("init.state.", &state);
        (student, state)
    }

    fn loss(
        &self,
        student: &M::Student,
        state: &M::State,
        views: &Views,
        context: &StepContext,
    ) -> Step<M::Carry> {
        let at = context.at;
        let step = self.method.loss(student, state, views, context);
        let loss = step.loss.clone().without_autodiff().into_data().convert_dtype(DType::F32);
        let mut tape = self.tape.borrow_mut();
        tape.insert_views(at.step, views);
        tape.insert_masks(at.step, views);
        if let Some(shape) = self.slices {
            tape.insert_slices(shape, context);
        }
        if self.shuffles {
            tape.insert_orders(views.batch(), context);
        }
        tape.tensors.insert(format!("loss.{}", at.step), loss);
        step
    }

    fn check(&self, encoder: &E, batch: usize) -> Result<(), ConfigError> {
        self.method.check(encoder, batch)
    }

    fn before_step(&self, student: M::Student, state: M::State, at: Progress) -> (M::Student, M::State) {
        self.method.before_step(student, state, at)
    }

    fn embedding_loss(&self) -> Option<&dyn EmbeddingLoss<M::Student, M::State, Carry = M::Carry>> {
        self.method.embedding_loss()
    }

    fn absorb(&self, state: M::State, carry: M::Carry) -> M::State {
        self.method.absorb(state, carry)
    }

    fn after_step(&self, student: &M::Student, state: M::State, at: Progress) -> M::State {
        let state = self.method.after_step(student, state, at);
        if at.step + 1 == self.steps {
            let mut tape = self.tape.borrow_mut();
            tape.insert_module("end.student.", student);
            tape.insert_module("end.state.", &state);
        }
        state
    }

    fn encoder<'a>(&self, student: &'a M::Student, state: &'a M::State) -> &'a E {
        self.method.encoder(student, state)
    }

    fn projector<'a>(&self, student: &'a M::Student) -> Option<&'a Mlp> {
        self.method.projector(student)
    }
}
