//! What is to be reached, as ratios of two things measured in one run.

use crate::figure::{Figure, Goal};
use crate::fio::{Outcome, SEQUENTIAL, WRITE_1, WRITE_32, WRITE_128, Workload};
use crate::report::{Measured, find};
use crate::side::{C, C_PLAIN, QEMU, QUORUM, Side};

/// Memory of one process of a volume at depth 128, in MiB.
const MEMORY_MIB: f64 = 64.0;

struct Wanted {
    workload: &'static Workload,
    against: Side,
    goal: Goal,
    value: fn(&Outcome) -> f64,
    unit: &'static str,
}

const WANTED: [Wanted; 4] = [
    Wanted {
        workload: &WRITE_32,
        against: QEMU,
        goal: Goal::AtLeast(1.0),
        value: |outcome| outcome.iops,
        unit: "IOPS",
    },
    Wanted {
        workload: &WRITE_32,
        against: QUORUM,
        goal: Goal::AtLeast(10.0),
        value: |outcome| outcome.iops,
        unit: "IOPS",
    },
    Wanted {
        workload: &WRITE_1,
        against: QEMU,
        goal: Goal::AtMost(1.4),
        value: |outcome| outcome.latency_us,
        unit: "us",
    },
    Wanted {
        workload: &SEQUENTIAL,
        against: QEMU,
        goal: Goal::AtLeast(0.8),
        value: |outcome| outcome.mib_per_s,
        unit: "MiB/s",
    },
];

/// The goals that the workloads decide; those of which a side was not measured are left out.
pub(crate) fn speed(measured: &[Measured]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for side in [C, C_PLAIN] {
        for wanted in &WANTED {
            let ours = find(measured, &side, wanted.workload);
            let theirs = find(measured, &wanted.against, wanted.workload);
            let (Some(ours), Some(theirs)) = (ours, theirs) else { continue };
            let (mine, other) = (ours.median(wanted.value), theirs.median(wanted.value));
            figures.push(Figure::new(
                &format!("{}: {}", side.name, wanted.workload.name),
                wanted.against.name,
                wanted.goal,
                mine / other,
                "x",
                format!("{mine:.0} against {other:.0} {}", wanted.unit),
            ));
        }
        if let Some(ours) = find(measured, &side, &WRITE_128) {
            figures.push(Figure::new(
                &format!("{}: memory at depth 128", side.name),
                "-",
                Goal::AtMost(MEMORY_MIB),
                ours.peak_memory as f64 / f64::from(1 << 20),
                "MiB",
                "the larger of the two processes' VmHWM".to_owned(),
            ));
        }
    }
    figures
}
