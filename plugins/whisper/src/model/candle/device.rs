//! Devices of candle.

use candle_core::DType;
pub(in crate::model) use candle_core::Device;

use crate::model::{ComputeType, DeviceName, PlaceError};

/// Opens a device.
///
/// # Errors
/// It isn't there, or what drives it isn't.
pub(in crate::model) fn open(name: DeviceName) -> Result<Device, PlaceError> {
    #[cfg(all(feature = "cuda", unix))]
    if let DeviceName::Cuda(_) = name {
        syrinx_plugin_common::cuda::load(candle_core::cuda_backend::cudarc::driver::sys::CUDA_VERSION)
            .map_err(|error| PlaceError::absent(name, error, PROCESSOR))?;
    }
    let opened = match name {
        DeviceName::Cpu => Ok(Device::Cpu),
        DeviceName::Cuda(number) => cuda(number),
        DeviceName::Metal => Device::new_metal(0),
    };
    opened.map_err(|error| PlaceError::absent(name, reason(&error), &found(name)))
}

#[cfg(feature = "cuda")]
fn cuda(number: usize) -> candle_core::Result<Device> {
    // A stream of its own: candle's default one is another for each thread, and sessions move between threads.
    let device = Device::new_cuda_with_stream(number)?;
    if let Device::Cuda(cuda) = &device {
        // SAFETY: tracking orders the work of several streams; tensors of this device are used on its one stream only.
        unsafe { cuda.disable_event_tracking() };
    }
    Ok(device)
}

#[cfg(not(feature = "cuda"))]
fn cuda(number: usize) -> candle_core::Result<Device> {
    Device::new_cuda(number)
}

/// What there is beside a device that can't be used, in words.
#[cfg(feature = "cuda")]
fn found(name: DeviceName) -> String {
    use candle_core::cuda_backend::cudarc::driver::CudaContext;
    match (name, CudaContext::device_count()) {
        (DeviceName::Cuda(_), Ok(count @ 1..)) => {
            format!("available are \"cpu\" and \"cuda:0\" to \"cuda:{}\"", count - 1)
        }
        _ => PROCESSOR.to_owned(),
    }
}

#[cfg(not(feature = "cuda"))]
fn found(_: DeviceName) -> String {
    PROCESSOR.to_owned()
}

/// What is always there.
const PROCESSOR: &str = "available is \"cpu\"";

/// candle's words for an error, without the backtrace that it may carry.
pub(super) fn reason(error: &candle_core::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

/// Type of the weights and of what is computed from them.
pub(super) fn dtype(compute_type: ComputeType) -> DType {
    match compute_type {
        ComputeType::Float16 => DType::F16,
        ComputeType::BFloat16 => DType::BF16,
        // Int8 is refused before it comes here.
        ComputeType::Float32 | ComputeType::Int8 => DType::F32,
    }
}
