//! Device memory between guard zones.

use expert_gemm::{Device, DeviceBuffer, DeviceTensor, ElementType, Plain, Result, Stream};

/// Bytes of each guard zone.
pub const GUARD_BYTES: u64 = 64 << 10;

/// Every byte of the guard zones, and of outputs before a launch: NaN as e4m3, f32, bf16 and f16, and -1 as
/// an integer, so that a stray read shows as well. No kernel writes it: their NaN is `0x7FFF`.
pub const GUARD_BYTE: u8 = 0xFF;

/// What lies around the contents of a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Around {
    /// Guard zones of [`GUARD_BYTES`] bytes on both sides: a write beyond the contents is found.
    Guards,
    /// Nothing: the buffer ends with the contents. For the emulator, which reports any access beyond a buffer,
    /// reads included.
    Nothing,
}

impl Around {
    const fn bytes(self) -> u64 {
        match self {
            Self::Guards => GUARD_BYTES,
            Self::Nothing => 0,
        }
    }
}

/// Device memory between two guard zones.
pub struct Guarded {
    pub(crate) name: &'static str,
    pub(crate) device: Device,
    buffer: DeviceBuffer,
    /// Bytes of each guard zone.
    guard: u64,
    /// Where the contents begin in the buffer.
    start: u64,
    pub(crate) bytes: u64,
}

impl Guarded {
    /// Uploads a slice between two guard zones.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn new<T: Plain>(device: &Device, name: &'static str, contents: &[T]) -> Result<Self> {
        Self::skewed(device, name, contents, 0)
    }

    /// Uploads a slice between two guard zones, `skew` bytes off the allocation's alignment.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn skewed<T: Plain>(
        device: &Device,
        name: &'static str,
        contents: &[T],
        skew: u64,
    ) -> Result<Self> {
        Self::within(Around::Guards, device, name, contents, skew)
    }

    /// Uploads a slice with these surroundings, `skew` bytes off the allocation's alignment.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn within<T: Plain>(
        around: Around,
        device: &Device,
        name: &'static str,
        contents: &[T],
        skew: u64,
    ) -> Result<Self> {
        let bytes = size_of_val(contents) as u64;
        let guarded = Self::around(around.bytes(), device, name, bytes, skew)?;
        guarded.upload(contents)?;
        Ok(guarded)
    }

    /// Memory whose contents are guard bytes as well.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn unwritten(device: &Device, name: &'static str, bytes: u64) -> Result<Self> {
        Self::around(GUARD_BYTES, device, name, bytes, 0)
    }

    fn around(
        guard: u64,
        device: &Device,
        name: &'static str,
        bytes: u64,
        skew: u64,
    ) -> Result<Self> {
        let buffer = device.alloc(2 * guard + skew + bytes)?;
        if guard > 0 {
            buffer.fill(GUARD_BYTE, Stream::DEFAULT)?;
            device.synchronize()?;
        }
        Ok(Self { name, device: device.clone(), buffer, guard, start: guard + skew, bytes })
    }

    /// Replaces the contents.
    ///
    /// # Errors
    /// What the driver answers.
    ///
    /// # Panics
    /// If the slice is longer than the contents.
    pub fn upload<T: Plain>(&self, from: &[T]) -> Result<()> {
        assert!(size_of_val(from) as u64 <= self.bytes, "`{}` is too short", self.name);
        if from.is_empty() {
            return Ok(());
        }
        // SAFETY: `Plain` has no padding, so all bytes are initialised.
        let from = unsafe { core::slice::from_raw_parts(from.as_ptr().cast(), size_of_val(from)) };
        // SAFETY: the range lies between the guard zones, as asserted.
        unsafe { self.device.driver().copy_to_device(self.address(), from) }
    }

    /// Makes the contents guard bytes again.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn clear(&self) -> Result<()> {
        self.buffer.fill(GUARD_BYTE, Stream::DEFAULT)?;
        self.device.synchronize()
    }

    /// The contents, as elements of `T`.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn download<T: Plain + Default>(&self) -> Result<Vec<T>> {
        let mut contents = vec![T::default(); self.bytes as usize / size_of::<T>()];
        let bytes = size_of_val(&contents[..]);
        if bytes == 0 {
            return Ok(contents);
        }
        // SAFETY: every bit pattern of a `Plain` type is a value, and the slice is not used otherwise.
        let to = unsafe { core::slice::from_raw_parts_mut(contents.as_mut_ptr().cast(), bytes) };
        // SAFETY: the range lies between the guard zones: `bytes` is at most `self.bytes`.
        unsafe { self.device.driver().copy_to_host(to, self.address())? };
        Ok(contents)
    }

    /// A tensor at the first byte of the contents.
    ///
    /// # Panics
    /// If it does not fit.
    pub fn tensor(&self, element: ElementType, shape: &[u64]) -> DeviceTensor<'_> {
        assert!(shape.iter().product::<u64>() * element.bytes() <= self.bytes, "{}", self.name);
        self.buffer.tensor_at(self.start, element, shape).expect("it fits between the guards")
    }

    /// Says which guard bytes were overwritten, if any.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn damage(&self) -> Result<Option<String>> {
        let mut guard = vec![0; self.guard as usize];
        if guard.is_empty() {
            return Ok(None);
        }
        let zones = [("before", -(self.guard as i64)), ("behind", self.bytes as i64)];
        for (side, at) in zones {
            let from = self.address().wrapping_add_signed(at);
            // SAFETY: both zones lie in this buffer.
            unsafe { self.device.driver().copy_to_host(&mut guard, from)? };
            let damaged = guard.iter().filter(|&&byte| byte != GUARD_BYTE).count();
            if let Some(first) = guard.iter().position(|&byte| byte != GUARD_BYTE) {
                let name = self.name;
                let place = at + first as i64;
                return Ok(Some(format!("{damaged} bytes {side} `{name}` written, first {place}")));
            }
        }
        Ok(None)
    }

    pub(crate) fn address(&self) -> u64 {
        self.buffer.address() + self.start
    }
}

/// Says which guard bytes of any of the buffers were overwritten.
///
/// # Errors
/// What the driver answers.
pub fn damages<'a>(buffers: impl IntoIterator<Item = &'a Guarded>) -> Result<Vec<String>> {
    let mut damages = Vec::new();
    for buffer in buffers {
        damages.extend(buffer.damage()?);
    }
    Ok(damages)
}
