//! Where a network computes, and in what.

use std::fmt;

use tch::{Device, Kind, Tensor};

use crate::error::ChatTtsError;

/// What weights of the large matrix products are stored in. Everything else of a network on the processor is float32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Exact; what the reference cases are run in.
    Float32,
    /// Half the bytes.
    BFloat16,
    /// Half the bytes, on cards only.
    Float16,
    /// A quarter of the bytes: one scale per output, on the processor only.
    Int8,
}

impl Precision {
    /// Names that launch options use.
    pub const NAMES: [&'static str; 4] = ["float32", "bfloat16", "float16", "int8"];

    /// By one of [`NAMES`](Self::NAMES), or what torch calls it.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name.trim().to_ascii_lowercase().as_str() {
            "float32" | "fp32" | "f32" | "float" => Self::Float32,
            "bfloat16" | "bf16" => Self::BFloat16,
            "float16" | "fp16" | "f16" | "half" => Self::Float16,
            "int8" | "i8" => Self::Int8,
            _ => return None,
        })
    }

    /// Type of the products' inputs and outputs.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Float32 => Kind::Float,
            Self::BFloat16 | Self::Int8 => Kind::BFloat16,
            Self::Float16 => Kind::Half,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES[*self as usize])
    }
}

/// A device and a precision that go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The device.
    pub device: Device,
    /// What large products are computed in.
    pub precision: Precision,
}

impl Place {
    /// The processor, exactly.
    pub const EXACT: Self = Self { device: Device::Cpu, precision: Precision::Float32 };

    /// Finds `device` (`cpu`, `cuda`, `cuda:N`, `auto`) and checks that it can compute in `precision`. None is float16 on cards and int8 on the
    /// processor, where a step is as fast as memory is read, and the others miss real time on small machines.
    ///
    /// # Errors
    /// There is no such device, or it can't.
    pub fn find(device: Option<&str>, precision: Option<Precision>) -> Result<Self, ChatTtsError> {
        let device = find_device(device.unwrap_or("cpu"))?;
        let on_card = device != Device::Cpu;
        let precision = precision.unwrap_or(if on_card { Precision::Float16 } else { Precision::Int8 });
        match precision {
            Precision::Int8 if on_card => {
                Err(ChatTtsError::Precision("int8 is for the processor; cards compute in float16, bfloat16 or float32"))
            }
            Precision::Float16 if !on_card => Err(ChatTtsError::Precision(
                "float16 is for cards; the processor computes in float32, bfloat16 or int8",
            )),
            _ => Ok(Self { device, precision }),
        }
    }

    /// Type of what flows between the layers: on a card that of the products.
    pub(super) fn flow(self) -> Kind {
        if self.device == Device::Cpu { Kind::Float } else { self.precision.kind() }
    }

    /// A tensor of this place.
    pub(super) fn bring(self, tensor: &Tensor, kind: Kind) -> Result<Tensor, tch::TchError> {
        tensor.f_to_device(self.device)?.f_to_kind(kind)
    }
}

fn find_device(name: &str) -> Result<Device, ChatTtsError> {
    let name = name.trim().to_ascii_lowercase();
    let number = match name.as_str() {
        "cpu" => return Ok(Device::Cpu),
        "auto" => {
            return Ok(if open_cuda().is_ok() && tch::Cuda::is_available() { Device::Cuda(0) } else { Device::Cpu });
        }
        "cuda" => Some(0),
        other => other.strip_prefix("cuda:").and_then(|number| number.parse().ok()),
    };
    let Some(number) = number else {
        return Err(ChatTtsError::Device(format!("there is no device `{name}`; there are cpu, cuda, cuda:N and auto")));
    };
    open_cuda().map_err(ChatTtsError::Device)?;
    let count = usize::try_from(tch::Cuda::device_count()).unwrap_or(0);
    if number >= count {
        return Err(ChatTtsError::Device(format!(
            "there is no device cuda:{number}: libtorch finds {count} cards here"
        )));
    }
    Ok(Device::Cuda(number))
}

/// Opens libtorch's part for cards. The plugin is linked without it, so that it also loads where that part is not there.
fn open_cuda() -> Result<(), String> {
    const LIBRARY: &str = "libtorch_cuda.so";
    // SAFETY: the initialisers of libtorch's own library are made to be run at any time after libtorch_cpu, which is loaded.
    let opened = unsafe { libloading::Library::new(LIBRARY) };
    match opened {
        Ok(library) => {
            // It registers itself with libtorch, which must not be left with functions that are gone.
            std::mem::forget(library);
            Ok(())
        }
        Err(error) => Err(format!(
            "this libtorch has no part for cards ({error}); build the plugin with `cargo xtask plugin chattts --cuda`"
        )),
    }
}
