import GristCore
import TestSupport
import Testing

/// What the kernel shows, in trees as `cgroup-v1/memory` and `cgroup-v2` describe them.
@Suite("Memory that is left") struct AvailableMemoryTests {
  private static let machine = "MemTotal:  16000000 kB\nMemFree:  100 kB\nMemAvailable:    8000000 kB\n"

  private func available(_ files: [String: String]) throws -> AvailableMemory {
    let folder = try TemporaryFolder()
    for (path, text) in files { try folder.write(path, Array(text.utf8)) }
    return try AvailableMemory(root: folder.path)
  }

  @Test("no groups: what the machine has") func machine() throws {
    let found = try available(["proc/meminfo": Self.machine])
    #expect(found.byteCount == 8_000_000 * 1024 && found.bound == "the machine")
    let error = #expect(throws: GristError.self) { try available(["proc/other": ""]) }
    #expect(error?.code == .inputOutput)
  }

  @Test("version 2: the least of the limits up the tree, without what is kept of files") func version2() throws {
    var files = [
      "proc/meminfo": Self.machine, "proc/self/cgroup": "0::/user/job\n",
      "proc/self/mountinfo":
        "25 1 0:23 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
      "sys/fs/cgroup/user/job/memory.max": "max\n", "sys/fs/cgroup/user/job/memory.current": "500\n",
      "sys/fs/cgroup/user/memory.max": "2000000000\n", "sys/fs/cgroup/user/memory.current": "1500000000\n",
      "sys/fs/cgroup/user/memory.stat":
        "anon 400000000\nfile 1100000000\ninactive_file 900000000\nactive_file 200000000\n",
    ]
    #expect(try available(files).byteCount == 1_600_000_000)
    #expect(try available(files).bound == "/sys/fs/cgroup/user")
    files["sys/fs/cgroup/user/job/memory.max"] = "100000500\n"
    #expect(try available(files).byteCount == 100_000_000)
    files["sys/fs/cgroup/user/job/memory.high"] = "50000500\n"
    #expect(try available(files).byteCount == 50_000_000)
    files["sys/fs/cgroup/user/job/memory.current"] = "60000500\n"
    #expect(try available(files).byteCount == 0)
  }

  @Test("version 1: the memory controller's tree, and no limit where the number is the largest there is")
  func version1() throws {
    var files = [
      "proc/meminfo": Self.machine,
      "proc/self/cgroup": "9:cpu,cpuacct:/other\n5:memory:/a/b\n0::/unused\n",
      "proc/self/mountinfo":
        "30 1 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n31 1 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
      "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
      "sys/fs/cgroup/memory/memory.usage_in_bytes": "7000000000\n",
      "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1000000000\n",
      "sys/fs/cgroup/memory/a/memory.usage_in_bytes": "300000000\n",
      "sys/fs/cgroup/memory/a/memory.stat":
        "cache 9\ninactive_file 0\nactive_file 0\ntotal_inactive_file 100000000\ntotal_active_file 50000000\n",
      "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "9223372036854771712\n",
      "sys/fs/cgroup/memory/a/b/memory.usage_in_bytes": "1\n",
    ]
    #expect(try available(files).byteCount == 850_000_000)
    files["proc/meminfo"] = "MemAvailable: 1000 kB\n"
    #expect(try available(files).byteCount == 1_024_000)
  }

  @Test("a container, whose mount shows its own group alone") func container() throws {
    var files = [
      "proc/meminfo": Self.machine, "proc/self/cgroup": "4:memory:/docker/c0ffee/inner\n",
      "proc/self/mountinfo":
        "31 1 0:27 /docker/c0ffee /sys/fs/cgroup/memory ro master:9 - cgroup cgroup rw,memory\n",
      "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000000\n",
      "sys/fs/cgroup/memory/memory.usage_in_bytes": "1000\n",
      "sys/fs/cgroup/memory/inner/memory.limit_in_bytes": "900000\n",
      "sys/fs/cgroup/memory/inner/memory.usage_in_bytes": "0\n",
    ]
    #expect(try available(files).byteCount == 900_000)
    files["proc/self/cgroup"] = "4:memory:/\n"
    #expect(try available(files).byteCount == 999_000)
    // With a namespace of its own, and moved out of it.
    files["proc/self/cgroup"] = "0::/../beside\n"
    files["proc/self/mountinfo"] = "25 1 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
    files["sys/fs/cgroup/memory.max"] = "123456\n"
    files["sys/fs/cgroup/memory.current"] = "456\n"
    #expect(try available(files).byteCount == 123_000)
  }
}
