//! The generator: features and harmonic source to a spectrum (`kokoro.istftnet:Generator`).

use candle_core::{DType, Tensor};

use super::TorchError;
use super::layers::{AdaIn, Conv1d, ConvTranspose1d, SnakeAlpha, leaky_relu};
use super::weights::Weights;
use crate::config::IstftNetConfig;

/// Slope of the rectifiers before the upsamplings.
const SLOPE: f64 = 0.1;

/// Slope of the one before the last convolution (torch's default).
const LAST_SLOPE: f64 = 0.01;

/// Kernel sizes of the residual blocks behind the source: the last stage's, and the others' (`Generator.__init__`).
const NOISE_KERNELS: (usize, usize) = (11, 7);

/// Dilations of those blocks.
const NOISE_DILATIONS: [usize; 3] = [1, 3, 5];

/// Upsampling stages with the source mixed in.
pub struct Generator {
    stages: Vec<Stage>,
    conv_post: Conv1d,
}

struct Stage {
    noise_conv: Conv1d,
    noise_res: ResBlock,
    up: ConvTranspose1d,
    /// Averaged.
    blocks: Vec<ResBlock>,
}

/// Convolutions with snake activations, modulated by the style (`kokoro.istftnet:AdaINResBlock1`).
struct ResBlock {
    rounds: Vec<Round>,
}

struct Round {
    adain1: AdaIn,
    alpha1: SnakeAlpha,
    conv1: Conv1d,
    adain2: AdaIn,
    alpha2: SnakeAlpha,
    conv2: Conv1d,
}

impl ResBlock {
    fn load(weights: &Weights<'_>, kernel: usize, dilations: &[usize]) -> Result<Self, TorchError> {
        let round = |(index, dilation): (usize, &usize)| {
            let part = |name: &str| weights.part(name).part(index);
            let alpha = |name: &str| SnakeAlpha::load(weights, &format!("{name}.{index}"));
            Ok(Round {
                adain1: AdaIn::load(&part("adain1"))?,
                alpha1: alpha("alpha1")?,
                conv1: Conv1d::load(&part("convs1"), (kernel - 1) * dilation / 2, 1, *dilation)?,
                adain2: AdaIn::load(&part("adain2"))?,
                alpha2: alpha("alpha2")?,
                conv2: Conv1d::load(&part("convs2"), (kernel - 1) / 2, 1, 1)?,
            })
        };
        Ok(ResBlock { rounds: dilations.iter().enumerate().map(round).collect::<Result<_, TorchError>>()? })
    }

    fn forward(&self, x: &Tensor, style: &Tensor) -> candle_core::Result<Tensor> {
        let mut x = x.clone();
        for round in &self.rounds {
            let inner = round.conv1.forward(&round.adain1.forward(&x, style, Some(&round.alpha1))?)?;
            let inner = round.conv2.forward(&round.adain2.forward(&inner, style, Some(&round.alpha2))?)?;
            x = (x + inner)?;
        }
        Ok(x)
    }
}

impl Generator {
    /// Loads the part `decoder.generator` of the checkpoint.
    pub fn load(weights: &Weights<'_>, config: &IstftNetConfig) -> Result<Self, TorchError> {
        let rates = &config.upsample_rates;
        let kernels = &config.resblock_kernel_sizes;
        let stage = |index: usize| {
            let last = index + 1 == rates.len();
            // From the source's rate to this stage's.
            let stride: usize = rates[index + 1..].iter().product();
            let padding = if last { 0 } else { stride.div_ceil(2) };
            let kernel = config.upsample_kernel_sizes[index];
            let blocks = kernels.iter().zip(&config.resblock_dilation_sizes).enumerate();
            Ok(Stage {
                noise_conv: Conv1d::load(&weights.part("noise_convs").part(index), padding, stride, 1)?,
                noise_res: ResBlock::load(
                    &weights.part("noise_res").part(index),
                    if last { NOISE_KERNELS.0 } else { NOISE_KERNELS.1 },
                    &NOISE_DILATIONS,
                )?,
                up: ConvTranspose1d::load(
                    &weights.part("ups").part(index),
                    kernel.saturating_sub(rates[index]) / 2,
                    rates[index],
                )?,
                blocks: blocks
                    .map(|(block, (kernel, dilations))| {
                        ResBlock::load(
                            &weights.part("resblocks").part(index * kernels.len() + block),
                            *kernel,
                            dilations,
                        )
                    })
                    .collect::<Result<_, _>>()?,
            })
        };
        Ok(Generator {
            stages: (0..rates.len()).map(stage).collect::<Result<_, TorchError>>()?,
            conv_post: Conv1d::load(&weights.part("conv_post"), 3, 1, 1)?,
        })
    }

    /// `x` `[1, channels, 2 · frames]` and `source` (magnitudes and phases of the harmonic source) `[1, n_fft + 2, source frames]`, both in
    /// the generator's type → log magnitudes and phase arguments `[1, n_fft + 2, source frames]`, in float32.
    pub fn forward(&self, x: &Tensor, source: &Tensor, style: &Tensor) -> candle_core::Result<Tensor> {
        let mut x = x.clone();
        for (index, stage) in self.stages.iter().enumerate() {
            let mixed_in = stage.noise_res.forward(&stage.noise_conv.forward(source)?, style)?;
            x = stage.up.forward(&leaky_relu(&x, SLOPE)?)?;
            if index + 1 == self.stages.len() {
                // Reflected by one at the left: the spectrum has a frame more than the stage.
                x = Tensor::cat(&[&x.narrow(2, 1, 1)?, &x], 2)?;
            }
            x = (x + mixed_in)?;
            let mut sum: Option<Tensor> = None;
            for block in &stage.blocks {
                let y = block.forward(&x, style)?;
                sum = Some(match sum {
                    Some(sum) => (sum + y)?,
                    None => y,
                });
            }
            x = match sum {
                Some(sum) => (sum / stage.blocks.len() as f64)?,
                None => x,
            };
        }
        self.conv_post.forward(&leaky_relu(&x, LAST_SLOPE)?)?.to_dtype(DType::F32)
    }
}
