//! Losses as naive loops in float64, and numerical gradients: slow, but written exactly as the formula.

/// Rows of numbers, `[row][dim]`.
pub type Rows = Vec<Vec<f64>>;

/// Rows without structure, the same every time; their values are exact in float32.
pub fn rows(count: usize, dim: usize, seed: usize) -> Rows {
    let value = |place: usize| ((place * place + 7 * seed) as f64 * 0.618).sin() as f32;
    let row = |row: usize| (0..dim).map(|column| f64::from(value(1 + row * dim + column))).collect();
    (0..count).map(row).collect()
}

/// NT-Xent.
///
/// ```text
/// mean over the 2·batch anchors i of −log( exp(⟨z_i, z_j(i)⟩ / T) / Σ_{k ≠ i} exp(⟨z_i, z_k⟩ / T) )
/// ```
///
/// # Source
/// Chen et al. 2020, eq. 1, <https://arxiv.org/abs/2002.05709>.
pub fn nt_xent(z1: &Rows, z2: &Rows, temperature: f64) -> f64 {
    let z: Rows = z1.iter().chain(z2).map(|row| normalize(row)).collect();
    let (batch, anchors) = (z1.len(), z.len());
    let similarity = |i: usize, k: usize| dot(&z[i], &z[k]) / temperature;
    let loss = |i: usize| {
        let candidates: Vec<f64> = (0..anchors).filter(|&k| k != i).map(|k| similarity(i, k)).collect();
        log_sum_exp(&candidates) - similarity(i, (i + batch) % anchors)
    };
    (0..anchors).map(loss).sum::<f64>() / anchors as f64
}

/// Cross entropy between the softened class probabilities of a teacher and a student.
///
/// ```text
/// mean over rows of −Σ_k softmax(teacher / T)_k · log softmax(student / T)_k
/// ```
///
/// # Source
/// Chen et al. 2020, *Big Self-Supervised Models*, eq. 2, <https://arxiv.org/abs/2006.10029>.
pub fn distillation(student: &Rows, teacher: &Rows, temperature: f64) -> f64 {
    let log_probabilities = |row: &Vec<f64>| -> Vec<f64> {
        let logits: Vec<f64> = row.iter().map(|score| score / temperature).collect();
        let total = log_sum_exp(&logits);
        logits.iter().map(|logit| logit - total).collect()
    };
    let cross_entropy = |(student, teacher): (&Vec<f64>, &Vec<f64>)| -> f64 {
        let pairs = log_probabilities(student).into_iter().zip(log_probabilities(teacher));
        -pairs.map(|(student, teacher)| teacher.exp() * student).sum::<f64>()
    };
    student.iter().zip(teacher).map(cross_entropy).sum::<f64>() / student.len() as f64
}

/// The gradient of a function of rows, by central differences; good to about eight digits.
pub fn gradient(function: impl Fn(&Rows) -> f64, at: &Rows) -> Rows {
    const STEP: f64 = 1e-5;
    let slope = |row: usize, column: usize| {
        let moved = |by: f64| {
            let mut rows = at.clone();
            rows[row][column] += by;
            function(&rows)
        };
        (moved(STEP) - moved(-STEP)) / (2.0 * STEP)
    };
    let row = |row: usize| (0..at[row].len()).map(|column| slope(row, column)).collect();
    (0..at.len()).map(row).collect()
}

fn normalize(row: &[f64]) -> Vec<f64> {
    let norm = dot(row, row).sqrt().max(1e-12);
    row.iter().map(|value| value / norm).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn log_sum_exp(values: &[f64]) -> f64 {
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + values.iter().map(|value| (value - max).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Case, Outputs};

    fn input(case: &Case, name: &str) -> Rows {
        let (shape, values) = case.f32(name).expect("floats");
        values.chunks(shape[1]).map(|row| row.iter().map(|&value| f64::from(value)).collect()).collect()
    }

    fn array(rows: &Rows) -> crate::Array {
        let values = rows.iter().flatten().map(|&value| value as f32).collect();
        crate::Array::f32([rows.len(), rows[0].len()], values)
    }

    fn loss_of(value: f64) -> (String, crate::Array) {
        ("out.loss".into(), crate::Array::f32([], vec![value as f32]))
    }

    #[test]
    fn the_nt_xent_loops_give_the_golden_loss_and_gradient() {
        let case = case("loss.nt_xent.base");
        let (z1, z2) = (input(&case, "in.z1"), input(&case, "in.z2"));
        let t = case.param("temperature").expect("a number");
        let outputs = Outputs::from([
            loss_of(nt_xent(&z1, &z2, t)),
            ("grad.z1".into(), array(&gradient(|z1| nt_xent(z1, &z2, t), &z1))),
            ("grad.z2".into(), array(&gradient(|z2| nt_xent(&z1, z2, t), &z2))),
        ]);
        case.assert_passes(&outputs);
    }

    #[test]
    fn the_distillation_loops_give_the_golden_loss_and_gradient() {
        let case = case("loss.simclr_v2_distill.t1");
        let (student, teacher) = (input(&case, "in.student"), input(&case, "in.teacher"));
        let t = case.param("temperature").expect("a number");
        let gradient = gradient(|student| distillation(student, &teacher, t), &student);
        let outputs = Outputs::from([
            loss_of(distillation(&student, &teacher, t)),
            ("grad.student".into(), array(&gradient)),
        ]);
        case.assert_passes(&outputs);
    }

    fn case(name: &str) -> Case {
        Case::read(&crate::cases_dir().join(format!("{name}.safetensors"))).expect("a golden case")
    }
}
