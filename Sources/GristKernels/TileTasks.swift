/// How the tiles of a matrix are shared out among threads.
///
/// Tiles lie in runs of `tilesPerRun`. Those of one task lie in one run, as a kernel takes its tiles from one place:
/// tasks that went across would be cut into pieces of fewer tiles than the kernel takes at a time.
struct TileTasks {
  private let tiles: Int
  private let tilesPerRun: Int
  private let tilesPerTask: Int
  private let tasksPerRun: Int

  /// About `wanted` tiles a task, and a multiple of `together` except where a run ends; all counts are at least 1.
  init(tiles: Int, tilesPerRun: Int, wanted: Int, together: Int) {
    self.tiles = tiles
    self.tilesPerRun = min(tilesPerRun, tiles)
    let pieces = max(1, (self.tilesPerRun + wanted / 2) / wanted)
    let even = (self.tilesPerRun + pieces - 1) / pieces
    tilesPerTask = (even + together - 1) / together * together
    tasksPerRun = (self.tilesPerRun + tilesPerTask - 1) / tilesPerTask
  }

  /// Those of a last run that is shorter may be empty.
  var count: Int { (tiles + tilesPerRun - 1) / tilesPerRun * tasksPerRun }

  /// The tiles of the task numbered `task`.
  subscript(task: Int) -> Range<Int> {
    let run = task / tasksPerRun
    let end = min(tiles, (run + 1) * tilesPerRun)
    let first = min(end, run * tilesPerRun + task % tasksPerRun * tilesPerTask)
    return first..<min(end, first + tilesPerTask)
  }
}
