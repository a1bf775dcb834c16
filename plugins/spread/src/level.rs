//! Filling bins to one level, as water would.

/// Hands `tasks` to bins that hold `have` and take at most `room` more, so that
/// the fullest and the emptiest differ by as little as can be. What is left over
/// at the last level goes to the bins with the fewest tasks in all, then in order.
pub fn fill(tasks: u32, have: &[u32], total: &[u32], room: &[u32], counts: &mut [u32]) {
    let all_room: u64 = room.iter().map(|r| u64::from(*r)).sum();
    let tasks = u64::from(tasks).min(all_room);
    let level = highest_level(tasks, have, room);
    let mut left = tasks;
    for (bin, count) in counts.iter_mut().enumerate() {
        *count = take(level, have[bin], room[bin]);
        left -= u64::from(*count);
    }
    let mut next: Vec<usize> = (0..counts.len())
        .filter(|bin| counts[*bin] < room[*bin] && u64::from(have[*bin]) <= level)
        .collect();
    next.sort_by_key(|bin| (u64::from(total[*bin]) + u64::from(counts[*bin]), *bin));
    for bin in next.into_iter().take(left as usize) {
        counts[bin] += 1;
    }
}

/// The highest level that `tasks` reach in every bin that has room for it.
fn highest_level(tasks: u64, have: &[u32], room: &[u32]) -> u64 {
    let needed = |level: u64| -> u64 {
        have.iter().zip(room).map(|(have, room)| u64::from(take(level, *have, *room))).sum()
    };
    let (mut low, mut high) = (0, 2 * u64::from(u32::MAX));
    while low < high {
        let middle = (low + high).div_ceil(2);
        if needed(middle) <= tasks {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

/// How many tasks bring a bin to `level`, as far as it has room.
fn take(level: u64, have: u32, room: u32) -> u32 {
    level.saturating_sub(u64::from(have)).min(u64::from(room)) as u32
}
