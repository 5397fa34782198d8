//! Small programs whose results on real hardware are kept, and replayed by the emulator.
//!
//! The programs are the PTX files in `captures/`; [`COLLECTIONS`] lists every launch of them with its inputs, which
//! are made from seeds by [`inputs`] and by nothing else, so that they never change with the test kit. The
//! program `capture` runs the cases of a [`Collection`] on a GPU and writes a [`Corpus`]; the test `corpus`
//! runs them in the emulator and compares every byte.

mod barrier;
pub mod bf16_inputs;
mod copies;
pub mod corpus;
pub mod f16_inputs;
pub mod inputs;
mod matrix;
mod numbers;
mod tensor;
mod wgmma;
mod wgmma_bf16;
mod wgmma_f16;
pub mod wgmma_half;

pub use corpus::{Corpus, Record};

use expert_gemm::driver::{Function, LaunchSpec, Module, Stream, TensorMapSpec};
use expert_gemm::{Device, Result};
use std::collections::HashMap;

/// Bytes of every output before a launch.
pub const UNWRITTEN: u8 = 0xEE;

/// Dynamic shared memory that every program may be launched with.
const SMEM_BYTES: u32 = 96 << 10;

/// A tensor map over one of the inputs; the address is filled in at the launch.
#[derive(Clone, Copy, Debug)]
pub struct Map {
    /// Which input it describes.
    pub input: usize,
    /// The description, with address 0.
    pub spec: TensorMapSpec,
}

/// One launch of one program.
///
/// Its parameter is, in this order: the maps, the addresses of the inputs, the address of the output, and the
/// words.
#[derive(Clone, Debug)]
pub struct Case {
    /// A name that tells it from all others.
    pub name: String,
    /// PTX text that holds the program.
    pub module: &'static str,
    /// The program.
    pub symbol: &'static str,
    /// Blocks of the grid.
    pub blocks: u32,
    /// Blocks of a cluster.
    pub cluster: u32,
    /// Threads of a block.
    pub threads: u32,
    /// Dynamic shared memory of a block in bytes.
    pub smem_bytes: u32,
    /// Tensor maps.
    pub maps: Vec<Map>,
    /// Contents of the input buffers.
    pub inputs: Vec<Vec<u8>>,
    /// Words behind the addresses.
    pub words: Vec<u32>,
    /// Bytes of the output.
    pub output_bytes: usize,
    /// Tiles in the output.
    pub tiles: u32,
}

/// Cases that are captured together, into one file.
#[derive(Clone, Copy, Debug)]
pub struct Collection {
    /// What the program `capture` calls it.
    pub name: &'static str,
    /// Its files in `captures/`, one for each GPU that it was captured on; the name begins with the GPU's.
    pub files: &'static [&'static str],
    /// Tiles that every file has at least: a case that a GPU refuses is not in its file.
    pub least_tiles: u64,
    /// Its cases, in the order of the files.
    pub cases: fn() -> Vec<Case>,
}

/// All collections. A new family of instructions is a new one, so that the files of the others stay valid.
pub const COLLECTIONS: [Collection; 3] = [
    Collection { name: "base", files: &["h200.bin"], least_tiles: 1500, cases: base_cases },
    Collection {
        name: "bf16",
        files: &["h100_bf16.bin"],
        least_tiles: 300,
        cases: wgmma_bf16::cases,
    },
    Collection { name: "f16", files: &["h200_f16.bin"], least_tiles: 300, cases: wgmma_f16::cases },
];

impl Collection {
    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        COLLECTIONS.into_iter().find(|collection| collection.name == name)
    }
}

fn base_cases() -> Vec<Case> {
    let mut cases = wgmma::cases();
    cases.extend(tensor::cases());
    cases.extend(copies::cases());
    cases.extend(matrix::cases());
    cases.extend(numbers::cases());
    cases.extend(barrier::cases());
    cases
}

impl Case {
    /// A hash of everything that decides the result but the program text: it ties a record to its inputs.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = inputs::Hash::default();
        hash.bytes(self.name.as_bytes());
        hash.bytes(self.symbol.as_bytes());
        for input in &self.inputs {
            hash.bytes(input);
        }
        for word in [self.blocks, self.cluster, self.threads].iter().chain(&self.words) {
            hash.bytes(&word.to_le_bytes());
        }
        for Map { input, spec } in &self.maps {
            hash.bytes(format!("{input} {spec:?}").as_bytes());
        }
        hash.finish()
    }
}

/// Runs cases on a device, GPU or emulator, and keeps the loaded programs.
#[derive(Debug)]
pub struct Runner {
    device: Device,
    modules: HashMap<*const u8, Module>,
    functions: HashMap<&'static str, Function>,
}

impl Runner {
    /// A runner on `device`.
    pub fn new(device: Device) -> Self {
        Self { device, modules: HashMap::new(), functions: HashMap::new() }
    }

    /// Runs one case and returns its output.
    ///
    /// # Errors
    ///
    /// What the driver answers.
    pub fn run(&mut self, case: &Case) -> Result<Vec<u8>> {
        let function = self.function(case)?;
        let device = &self.device;
        let driver = device.driver();
        let inputs = case.inputs.iter().map(|input| device.upload(input));
        let inputs: Vec<_> = inputs.collect::<Result<_>>()?;
        let output = device.alloc(case.output_bytes as u64)?;
        output.fill(UNWRITTEN, Stream::DEFAULT)?;
        let mut params = Vec::new();
        for Map { input, spec } in &case.maps {
            let spec = TensorMapSpec { address: inputs[*input].address(), ..*spec };
            params.extend_from_slice(&driver.encode_tensor_map(&spec)?.bytes);
        }
        for buffer in inputs.iter().chain([&output]) {
            params.extend_from_slice(&buffer.address().to_le_bytes());
        }
        for word in &case.words {
            params.extend_from_slice(&word.to_le_bytes());
        }
        let spec = LaunchSpec {
            function,
            grid: [case.blocks, 1, 1],
            block: [case.threads, 1, 1],
            cluster: [case.cluster, 1, 1],
            smem_bytes: case.smem_bytes,
            stream: Stream::DEFAULT,
            params: &params,
        };
        // SAFETY: the programs take the parameter that `Case` describes, and all buffers outlive the launch.
        unsafe { driver.launch(&spec)? };
        device.synchronize()?;
        output.to_vec()
    }

    fn function(&mut self, case: &Case) -> Result<Function> {
        if let Some(&function) = self.functions.get(case.symbol) {
            return Ok(function);
        }
        let driver = self.device.driver();
        let key = case.module.as_ptr();
        let module = match self.modules.get(&key) {
            Some(&module) => module,
            None => driver.load_module("capture", case.module)?,
        };
        self.modules.insert(key, module);
        let missing = || expert_gemm::ModuleError::KernelMissing {
            module: "capture".to_owned(),
            symbol: case.symbol.to_owned(),
        };
        let function = driver.function(module, case.symbol)?.ok_or_else(missing)?;
        // Once, with room for every case: a later, larger launch would be refused.
        driver.set_max_dynamic_smem(function, SMEM_BYTES)?;
        self.functions.insert(case.symbol, function);
        Ok(function)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn all_cases() -> Vec<Case> {
        COLLECTIONS.iter().flat_map(|collection| (collection.cases)()).collect()
    }

    #[test]
    fn there_are_enough_tiles_and_no_case_twice() {
        for collection in COLLECTIONS {
            let tiles: u64 = (collection.cases)().iter().map(|case| u64::from(case.tiles)).sum();
            assert!(tiles >= collection.least_tiles, "{}: {tiles} tiles", collection.name);
        }
        let cases = all_cases();
        let names: HashSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names.len(), cases.len());
        let prints: HashSet<u64> = cases.iter().map(Case::fingerprint).collect();
        assert_eq!(prints.len(), cases.len());
    }

    #[test]
    fn parameters_have_the_size_that_the_program_declares() {
        for case in all_cases() {
            let bytes = case.maps.len() * 128 + (case.inputs.len() + 1) * 8 + case.words.len() * 4;
            let declared = format!("{}_param[{bytes}]", case.symbol);
            assert!(case.module.contains(&declared), "{}: {declared}", case.name);
        }
    }
}
