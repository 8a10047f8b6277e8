//! Where a network is computed, and in which arithmetic: what callers may name, and what goes together.

use std::fmt;

use thiserror::Error;

/// What the network computes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ComputeType {
    /// Single precision; the reference's results.
    #[default]
    Float32,
    /// Half precision, the one of the published weights; sums in single precision.
    Float16,
    /// The half precision with the range of single precision; sums in single precision.
    BFloat16,
    /// Linear layers with int8 weights (one scale per row) and 12-bit activations; everything else in single precision.
    Int8,
}

impl ComputeType {
    /// The one that a caller names; `None` and `auto` are the best that keeps the published weights as they are.
    ///
    /// # Errors
    /// There is no such arithmetic, or not at this place.
    pub fn find(name: Option<&str>, place: Place) -> Result<Self, PlaceError> {
        let found = match name {
            None | Some("auto" | "default") => match place {
                Place::Native | Place::Candle(DeviceName::Cpu) => Self::Float32,
                Place::Candle(DeviceName::Cuda(_) | DeviceName::Metal) => Self::Float16,
            },
            Some("float32" | "float") => Self::Float32,
            Some("float16" | "half") => Self::Float16,
            Some("bfloat16") => Self::BFloat16,
            Some("int8" | "int8_float32") => Self::Int8,
            Some(other) => {
                let message = format!(
                    "compute_type {other:?} is unknown: \"float32\", \"float16\", \"bfloat16\", \"int8\" and \"auto\" are known"
                );
                return Err(PlaceError { field: "compute_type", message });
            }
        };
        place.check(found)?;
        Ok(found)
    }
}

impl fmt::Display for ComputeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::BFloat16 => "bfloat16",
            Self::Int8 => "int8",
        })
    }
}

/// A device by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceName {
    /// The processor.
    Cpu,
    /// An NVIDIA card, by its number.
    Cuda(usize),
    /// Apple's GPU.
    Metal,
}

impl DeviceName {
    /// What a build without this device lacks: a cargo feature.
    fn missing_feature(self) -> Option<&'static str> {
        match self {
            Self::Cuda(_) if !cfg!(feature = "cuda") => Some("cuda"),
            Self::Metal if !cfg!(feature = "metal") => Some("metal"),
            _ => None,
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Metal => f.write_str("metal"),
        }
    }
}

/// What a network is computed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// This crate's kernels for the processor.
    #[default]
    Native,
    /// The tensor library candle, on some device.
    Candle(DeviceName),
}

/// A place that isn't there, or an arithmetic that it doesn't have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct PlaceError {
    /// Launch option that is to be changed.
    pub field: &'static str,
    /// What is wrong, and what would do.
    pub message: String,
}

impl Place {
    /// The place that a caller names with a device (`cpu`, `cuda`, `cuda:N`, `metal`, `auto`) and a backend (`auto`, `native`, `candle`).
    /// Without a device it is the processor, without a backend the better one for the device.
    ///
    /// # Errors
    /// There is no such device or backend, this build lacks it, or they don't go together.
    pub fn find(device: Option<&str>, backend: Option<&str>) -> Result<Self, PlaceError> {
        let device = match device {
            Some("auto") if backend != Some("native") => best_device(),
            None | Some("auto" | "cpu") => DeviceName::Cpu,
            Some(name) => parse(name)?,
        };
        if let Some(feature) = device.missing_feature() {
            let message = format!(
                "device \"{device}\" is not available: this build computes on {}; one with --features {feature} has it, see the plugin's \
                 README",
                built_devices()
            );
            return Err(PlaceError { field: "device", message });
        }
        match (backend, device) {
            (None | Some("auto"), DeviceName::Cpu) | (Some("native"), DeviceName::Cpu) => Ok(Self::Native),
            (Some("native"), device) => Err(PlaceError {
                field: "backend",
                message: format!("backend \"native\" computes on the cpu only: \"{device}\" needs \"candle\""),
            }),
            (Some("candle"), _) if !cfg!(feature = "candle") => Err(PlaceError::without_candle()),
            (None | Some("auto" | "candle"), device) => Ok(Self::Candle(device)),
            (Some(other), _) => Err(PlaceError {
                field: "backend",
                message: format!("backend {other:?} is unknown: \"auto\", \"native\" and \"candle\" are known"),
            }),
        }
    }

    /// The device.
    #[must_use]
    pub fn device(self) -> DeviceName {
        match self {
            Self::Native => DeviceName::Cpu,
            Self::Candle(device) => device,
        }
    }

    /// Whether a network can be computed here with `compute_type`.
    ///
    /// # Errors
    /// It can't.
    pub fn check(self, compute_type: ComputeType) -> Result<(), PlaceError> {
        let wanted = match (self, compute_type) {
            (_, ComputeType::Float32)
            | (Self::Native, ComputeType::Int8)
            | (Self::Candle(DeviceName::Cuda(_) | DeviceName::Metal), ComputeType::Float16 | ComputeType::BFloat16) => {
                return Ok(());
            }
            (Self::Native, _) => {
                "device \"cpu\" computes in \"float32\" or \"int8\"; half precisions are for \"cuda\" and \"metal\""
            }
            (Self::Candle(DeviceName::Cpu), _) => "backend \"candle\" computes in \"float32\" on the cpu",
            (Self::Candle(_), _) => {
                "\"int8\" is for device \"cpu\" with backend \"native\"; accelerators compute in \"float16\", \"bfloat16\" or \"float32\""
            }
        };
        let message = format!("compute_type \"{compute_type}\" is not available here: {wanted}");
        Err(PlaceError { field: "compute_type", message })
    }
}

impl PlaceError {
    pub(super) fn without_candle() -> Self {
        let message = "backend \"candle\" is not in this build: one with --features candle has it".to_owned();
        Self { field: "backend", message }
    }

    /// A device that this build could use if it were there.
    #[cfg(feature = "candle")]
    pub(super) fn absent(device: DeviceName, reason: impl fmt::Display, found: &str) -> Self {
        let message = format!("device \"{device}\" can't be used: {reason}; {found}");
        Self { field: "device", message }
    }
}

fn parse(name: &str) -> Result<DeviceName, PlaceError> {
    let found = match name.split_once(':') {
        None if name == "cuda" => Some(DeviceName::Cuda(0)),
        None if name == "metal" => Some(DeviceName::Metal),
        Some(("cuda", number)) => number.parse().ok().map(DeviceName::Cuda),
        _ => None,
    };
    found.ok_or_else(|| PlaceError {
        field: "device",
        message: format!("device {name:?} is unknown: \"cpu\", \"cuda\", \"cuda:N\", \"metal\" and \"auto\" are known"),
    })
}

/// The devices that this build was made for.
fn built_devices() -> String {
    let mut names = vec!["\"cpu\""];
    if cfg!(feature = "cuda") {
        names.push("\"cuda\"");
    }
    if cfg!(feature = "metal") {
        names.push("\"metal\"");
    }
    names.join(", ")
}

/// The first accelerator that this build was made for and that is there; else the processor.
fn best_device() -> DeviceName {
    #[cfg(feature = "candle")]
    for device in [DeviceName::Cuda(0), DeviceName::Metal] {
        if device.missing_feature().is_none() && super::candle::open(device).is_ok() {
            return device;
        }
    }
    DeviceName::Cpu
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(found: Result<Place, PlaceError>) -> &'static str {
        found.expect_err("it is refused").field
    }

    #[test]
    fn a_device_and_a_backend_make_a_place() {
        for device in [None, Some("cpu")] {
            assert_eq!(Place::find(device, None), Ok(Place::Native));
            assert_eq!(Place::find(device, Some("native")), Ok(Place::Native));
            assert_eq!(field(Place::find(device, Some("tensorrt"))), "backend");
        }
        if cfg!(feature = "candle") {
            assert_eq!(Place::find(None, Some("candle")), Ok(Place::Candle(DeviceName::Cpu)));
        }
        assert_eq!(Place::find(Some("auto"), Some("native")), Ok(Place::Native));
        for name in ["cuda:", "cuda:x", "cuda:-1", "CPU", "cpu:0", "tpu", ""] {
            assert_eq!(field(Place::find(Some(name), None)), "device", "{name}");
        }
    }

    #[test]
    #[cfg(not(any(feature = "cuda", feature = "metal")))]
    fn accelerators_that_are_not_built_in_are_refused_with_a_way_out() {
        assert_eq!(Place::find(Some("auto"), None), Ok(Place::Native));
        for (name, feature) in [("cuda", "cuda"), ("cuda:3", "cuda"), ("metal", "metal")] {
            let error = Place::find(Some(name), None).expect_err("it isn't built in");
            assert_eq!(error.field, "device");
            assert!(error.message.contains("this build computes on \"cpu\""), "{error}");
            assert!(error.message.contains(&format!("--features {feature}")), "{error}");
        }
    }

    #[test]
    fn each_place_has_its_arithmetic() {
        let (cpu, gpu) = (Place::Candle(DeviceName::Cpu), Place::Candle(DeviceName::Cuda(0)));
        assert_eq!(ComputeType::find(None, Place::Native), Ok(ComputeType::Float32));
        assert_eq!(ComputeType::find(Some("auto"), cpu), Ok(ComputeType::Float32));
        assert_eq!(ComputeType::find(None, gpu), Ok(ComputeType::Float16));
        assert_eq!(ComputeType::find(Some("bfloat16"), gpu), Ok(ComputeType::BFloat16));
        assert_eq!(ComputeType::find(Some("int8_float32"), Place::Native), Ok(ComputeType::Int8));
        for (name, place) in
            [("float16", Place::Native), ("int8", gpu), ("int8", cpu), ("bfloat16", cpu), ("int4", gpu)]
        {
            let error = ComputeType::find(Some(name), place).expect_err("it is refused");
            assert!(error.field == "compute_type" && error.message.contains(name), "{error}");
        }
    }
}
