/// How much memory a process may still take: what its control groups leave it, and what the machine has.
///
/// Control groups of version 1 and 2, all the way up: a limit anywhere above counts. What a group uses for files that
/// could be read again does not count as used. Source: the kernel's `cgroup-v1/memory` and `cgroup-v2` documents.
package struct AvailableMemory: Sendable, Equatable {
  /// Bytes.
  package let byteCount: Int
  /// What sets the bound: "the machine", or a control group's folder.
  package let bound: String

  /// - Parameter root: the folder that stands for the system's root.
  ///
  /// - Throws: 74 where nothing tells.
  package init(root: String = "/") throws {
    let system = SystemFiles(root: root)
    var bounds: [AvailableMemory] = []
    if let free = system.number("proc/meminfo", key: "MemAvailable:").map({ $0 * 1024 }) {
      bounds.append(AvailableMemory(byteCount: free, bound: "the machine"))
    }
    for group in system.groups { bounds += system.bounds(of: group) }
    guard let least = bounds.min(by: { $0.byteCount < $1.byteCount }) else {
      throw GristError(
        .inputOutput, "cannot find out how much memory there is", file: joinPath(root, "proc/meminfo"),
        advice: "state a budget, such as 2GiB")
    }
    self = least
  }

  private init(byteCount: Int, bound: String) {
    self.byteCount = byteCount
    self.bound = bound
  }

  /// The files that the kernel tells of memory in.
  private struct SystemFiles {
    let root: String

    /// A control group's folder and those above it, the group's own first.
    struct Group {
      let folders: [String]
      let isVersion2: Bool
    }

    func lines(_ path: String) -> [Substring] {
      // Files of the kernel's own have no length, and cannot be mapped.
      (kernelText(joinPath(root, path)) ?? "").split(separator: "\n")
    }

    /// The number behind a key, or the whole of a file.
    func number(_ path: String, key: String? = nil) -> Int? {
      for line in lines(path) {
        let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
        guard let key else { return words.first.flatMap { Int($0) } }
        if words.first == key[...], words.count > 1 { return Int(words[1]) }
      }
      return nil
    }

    /// The process's groups that limit memory.
    var groups: [Group] {
      lines("proc/self/cgroup").compactMap { line in
        let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3 else { return nil }
        let isVersion2 = parts[1].isEmpty
        guard isVersion2 || parts[1].split(separator: ",").contains("memory"), let mount = mount(isVersion2) else {
          return nil
        }
        return Group(folders: folders(String(parts[2]), mount), isVersion2: isVersion2)
      }
    }

    /// Where the groups are shown, and which of them stands there.
    private func mount(_ isVersion2: Bool) -> (folder: String, group: String)? {
      for line in lines("proc/self/mountinfo") {
        let words = line.split(separator: " ").map(String.init)
        guard let separator = words.firstIndex(of: "-"), words.count > separator + 3, separator > 4 else { continue }
        let (type, options) = (words[separator + 1], words[separator + 3].split(separator: ","))
        if isVersion2 ? type == "cgroup2" : type == "cgroup" && options.contains("memory") {
          return (words[4], words[3])
        }
      }
      return nil
    }

    private func folders(_ group: String, _ mount: (folder: String, group: String)) -> [String] {
      // In a container the mount shows the group itself, under the path that it has outside.
      let above = mount.group == "/" ? "" : mount.group
      let inside = group == above || group.hasPrefix(above + "/") ? String(group.dropFirst(above.count)) : ""
      var names = inside.split(separator: "/").map(String.init)[...]
      // A group beside the namespace that the mount shows.
      if names.contains("..") { names = [] }
      var folders: [String] = []
      while true {
        folders.append(names.reduce(mount.folder) { joinPath($0, $1) })
        if names.isEmpty { return folders }
        names = names.dropLast()
      }
    }

    func bounds(of group: Group) -> [AvailableMemory] {
      group.folders.compactMap { folder in
        let place = folder.hasPrefix("/") ? String(folder.dropFirst()) : folder
        func file(_ name: String) -> String { joinPath(place, name) }
        // Beyond the soft limit a group of version 2 is slowed down until it is useless.
        let limits = group.isVersion2 ? ["memory.max", "memory.high"] : ["memory.limit_in_bytes"]
        guard let limit = limits.compactMap({ number(file($0)) }).min(), limit < 1 << 60,
          let used = number(file(group.isVersion2 ? "memory.current" : "memory.usage_in_bytes"))
        else { return nil }
        let prefix = group.isVersion2 ? "" : "total_"
        let files = ["inactive_file", "active_file"].reduce(0) {
          $0 + (number(file("memory.stat"), key: prefix + $1) ?? 0)
        }
        return AvailableMemory(byteCount: max(0, limit - max(0, used - files)), bound: folder)
      }
    }
  }
}
