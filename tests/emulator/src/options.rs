//! How to run.

use expert_gemm::DeviceInfo;

/// When asynchronous operations happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timing {
    /// At once.
    Early,
    /// As late as can be seen: copies when nobody can go on without them, wgmma at the wait for its group. Each wait for
    /// an mbarrier gives up once before it succeeds.
    Late,
    /// Any moment in between, and the warps in any order, from this seed. Some waits for mbarriers give up.
    Random(u64),
}

/// What GPU the emulator passes itself off as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gpu {
    /// H200, compute capability 9.0.
    H200,
    /// B200, compute capability 10.0.
    B200,
    /// B300, compute capability 10.3.
    B300,
}

impl Gpu {
    /// The device, with as many multiprocessors as it really has. Memory and cache of the newer ones are the H200's:
    /// nothing here depends on them.
    pub fn info(self) -> DeviceInfo {
        let h200 = DeviceInfo::h200();
        let newer = |name: &str, capability| DeviceInfo {
            name: name.to_owned(),
            capability,
            sm_count: 148,
            ..DeviceInfo::h200()
        };
        match self {
            Self::H200 => h200,
            Self::B200 => newer("NVIDIA B200", (10, 0)),
            Self::B300 => newer("NVIDIA B300", (10, 3)),
        }
    }

    /// Whether it runs code for a `.target` (PTX ISA 11.1.2): any older one without a suffix, its own with `a`, and
    /// its family's with `f`.
    pub fn runs(self, target: &str) -> bool {
        let target = target.split(',').next().unwrap_or(target);
        let number = target.trim_start_matches("sm_").trim_end_matches(['a', 'f']);
        let (major, minor) = self.info().capability;
        let (own, first) = (major * 10 + minor, major * 10);
        let Ok(number) = number.parse::<u32>() else { return false };
        match target.as_bytes().last() {
            Some(b'a') => number == own,
            Some(b'f') => (first..=own).contains(&number),
            _ => number <= own,
        }
    }
}

/// What copies of scale factors to tensor memory do about products that their thread has issued before.
///
/// The ISA keeps copy -> product in order, not product -> copy (9.7.16.6.2). CUTLASS and DeepGEMM copy the next scales
/// over those of products that they have not waited for, and are right only if copies stay behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScaleCopies {
    /// They wait for them.
    StayBehind,
    /// Nobody knows: overwriting what such a product reads is a race.
    MayOvertake,
}

/// Options of an emulator.
#[derive(Clone, Debug)]
pub struct Options {
    /// When asynchronous operations happen.
    pub timing: Timing,
    /// Which GPU the device claims to be.
    pub gpu: Gpu,
    /// The number that the device has in its process. Devices of different numbers have different addresses.
    pub ordinal: i32,
    /// Streaming multiprocessors that the device claims; grids follow it.
    pub sm_count: u32,
    /// Whether the happens-before checker runs.
    pub check_races: bool,
    /// Whether writes of different clusters to the same bytes are reported. Hostile group tables may overlap
    /// by contract, and then are written twice.
    pub check_cross_cluster: bool,
    /// Whether copies of scale factors keep behind products.
    pub scale_copies: ScaleCopies,
    /// Distinct findings after which a launch stops.
    pub max_reports: usize,
    /// Warp instructions of one cluster after which it is stopped.
    pub max_instructions: u64,
    /// Whether what happens to mbarriers is recorded, in [`Stats::timeline`].
    pub timeline: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timing: Timing::Early,
            gpu: Gpu::H200,
            ordinal: 0,
            sm_count: 4,
            check_races: true,
            check_cross_cluster: true,
            scale_copies: ScaleCopies::StayBehind,
            max_reports: 20,
            max_instructions: 500_000_000,
            timeline: false,
        }
    }
}

/// What running took.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Stats {
    /// Instructions, counted once for each active thread.
    pub thread_instructions: u64,
    /// Instructions, counted once for each warp.
    pub warp_instructions: u64,
    /// Multiply-adds of the tensor core.
    pub macs: u64,
    /// Launches.
    pub launches: u64,
    /// Time in launches.
    pub wall: std::time::Duration,
    /// Time in the tensor core's arithmetic, all threads together.
    pub tensor_wall: std::time::Duration,
    /// Thread instructions by opcode.
    pub opcodes: std::collections::BTreeMap<String, u64>,
    /// What happened to each mbarrier, a line for each event, if [`Options::timeline`] asks for it.
    pub timeline: Vec<String>,
}

impl Stats {
    /// Adds what another run took.
    pub fn add(&mut self, other: &Self) {
        self.thread_instructions += other.thread_instructions;
        self.warp_instructions += other.warp_instructions;
        self.macs += other.macs;
        self.launches += other.launches;
        self.wall += other.wall;
        self.tensor_wall += other.tensor_wall;
        for (opcode, count) in &other.opcodes {
            *self.opcodes.entry(opcode.clone()).or_default() += count;
        }
        self.timeline.extend_from_slice(&other.timeline);
    }

    /// Thread instructions by family, the opcode's first word, largest first.
    pub fn families(&self) -> Vec<(&str, u64)> {
        let mut families = std::collections::BTreeMap::<&str, u64>::new();
        for (opcode, count) in &self.opcodes {
            let family = opcode.split(['.', ' ']).next().unwrap_or_default();
            *families.entry(family).or_default() += count;
        }
        let mut families: Vec<_> = families.into_iter().collect();
        families.sort_by_key(|&(family, count)| (std::cmp::Reverse(count), family));
        families
    }
}
