// swift-tools-version: 6.1
import PackageDescription

// Modules are listed in the order data flows through them: a module imports only what stands before it.
let package = Package(
  name: "gristmill",
  products: [
    // All of it, for those who would rather not choose.
    .library(name: "GristmillKit", targets: ["GristmillKit"]),
    .library(name: "GristCore", targets: ["GristCore"]),
    .library(name: "GristKernels", targets: ["GristKernels"]),
    .library(name: "GristFormat", targets: ["GristFormat"]),
    .library(name: "GristTemplates", targets: ["GristTemplates"]),
    .library(name: "GristSources", targets: ["GristSources"]),
    .library(name: "GristImaging", targets: ["GristImaging"]),
    .library(name: "GristModel", targets: ["GristModel"]),
    .library(name: "GristConversion", targets: ["GristConversion"]),
    .library(name: "GristVerification", targets: ["GristVerification"]),
    .library(name: "GristEvaluation", targets: ["GristEvaluation"]),
    .library(name: "GristAlignment", targets: ["GristAlignment"]),
    .library(name: "GristServing", targets: ["GristServing"]),
    .library(name: "GristSigning", targets: ["GristSigning"]),
    .executable(name: "gristmill", targets: ["gristmill"]),
    .executable(name: "gristmill-hdf5", targets: ["gristmill-hdf5"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.1.0"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.5.0"),
    .package(url: "https://github.com/apple/swift-numerics", from: "1.1.0"),
    .package(url: "https://github.com/apple/swift-system", from: "1.6.0"),
  ],
  targets: [
    // System libraries and the thin C that lets Swift reach them.
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
    .systemLibrary(name: "CHDF5", pkgConfig: "hdf5", providers: [.apt(["libhdf5-dev"])]),
    // Its headers; without pkg-config, which would link it.
    .systemLibrary(name: "COpenSSL", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CLibJPEG", pkgConfig: "libjpeg", providers: [.apt(["libjpeg-dev"])]),
    .systemLibrary(name: "CLibPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"])]),
    .systemLibrary(name: "CLibWebP", pkgConfig: "libwebpdemux", providers: [.apt(["libwebp-dev"])]),
    // Decoders whose libraries jump out of errors: they return them here.
    .target(name: "CGristPictures", dependencies: ["CLibJPEG", "CLibPNG", "CLibWebP"]),
    .target(name: "CGristSystem"),
    // SHA-256, keys, signatures and certificates by libcrypto, which is loaded when it is needed.
    .target(
      name: "CGristCrypto", dependencies: ["COpenSSL"],
      linkerSettings: [.linkedLibrary("dl", .when(platforms: [.linux]))]),
    // The program's allocator: memory that is refused ends it with a sentence.
    .target(name: "CGristProgram", dependencies: ["CGristSystem"]),
    // Loads OpenBLAS when it is needed.
    .target(name: "CGristBLAS", linkerSettings: [.linkedLibrary("dl", .when(platforms: [.linux]))]),
    // x86/, arm/ and the portable kernels are instances of templates/; one table of functions each.
    .target(name: "CGristKernels", cSettings: [.headerSearchPath(".")]),

    .target(
      name: "GristCore",
      dependencies: [
        "CGristSystem", "CXXHash",
        .product(name: "OrderedCollections", package: "swift-collections"),
        .product(name: "SystemPackage", package: "swift-system"),
      ]),
    .target(
      name: "GristKernels",
      dependencies: [
        "GristCore", "CGristKernels", "CGristBLAS", .product(name: "RealModule", package: "swift-numerics"),
      ]),
    .target(name: "GristFormat", dependencies: ["GristCore", "CZstd"]),
    .target(
      name: "GristTemplates",
      dependencies: ["GristCore", .product(name: "RealModule", package: "swift-numerics")]),
    .target(
      name: "GristSources",
      dependencies: [
        "GristCore", "GristKernels", "GristFormat", "GristTemplates", "CGristSystem", "CGristCrypto", "CZlib",
        .product(name: "RealModule", package: "swift-numerics"),
      ],
      // A link to Formats/maps: name maps are data, and travel inside the library.
      resources: [.embedInCode("Names/Maps")]),
    .target(name: "GristImaging", dependencies: ["GristCore", "CGristPictures", "CZlib"]),
    .target(
      name: "GristModel",
      dependencies: [
        "GristCore", "GristKernels", "GristFormat", "GristTemplates", "GristSources", "GristImaging",
        .product(name: "HeapModule", package: "swift-collections"),
        .product(name: "RealModule", package: "swift-numerics"),
      ]),
    .target(
      name: "GristConversion",
      dependencies: [
        "GristCore", "GristKernels", "GristFormat", "GristTemplates", "GristSources", "GristImaging", "GristModel",
      ],
      resources: [.embedInCode("Calibration/Samples")]),
    .target(
      name: "GristVerification",
      dependencies: [
        "GristCore", "GristKernels", "GristFormat", "GristTemplates", "GristSources", "GristImaging", "GristModel",
        .product(name: "RealModule", package: "swift-numerics"),
      ]),
    // A model asked the questions of a benchmark, at every granularity.
    .target(
      name: "GristEvaluation",
      dependencies: [
        "GristCore", "GristKernels", "GristSources", "GristImaging", "GristModel", "GristVerification",
        .product(name: "RealModule", package: "swift-numerics"),
      ]),
    // A router trained on what the model answers, as it runs.
    .target(
      name: "GristAlignment",
      dependencies: [
        "GristCore", "GristKernels", "GristFormat", "GristSources", "GristModel", "GristConversion",
        "GristVerification",
        "GristEvaluation", .product(name: "RealModule", package: "swift-numerics"),
      ]),
    // Answers many clients with one model, in OpenAI's forms; sockets are the server's.
    .target(
      name: "GristServing",
      dependencies: [
        "GristCore", "GristSources", "GristModel", .product(name: "Metrics", package: "swift-metrics"),
        .product(name: "RealModule", package: "swift-numerics"),
      ]),
    .target(name: "GristSigning", dependencies: ["GristCore", "GristFormat", "GristSources", "CGristCrypto"]),
    .target(
      name: "GristmillKit",
      dependencies: [
        "GristCore", "GristKernels", "GristFormat", "GristTemplates", "GristSources", "GristImaging", "GristModel",
        "GristConversion", "GristVerification", "GristEvaluation", "GristAlignment", "GristServing", "GristSigning",
      ]),
    // The one program that links libhdf5; GristSources starts it and talks to it.
    .executableTarget(
      name: "gristmill-hdf5", dependencies: ["CHDF5"], cSettings: [.define("H5_USE_110_API")]),
    .executableTarget(
      name: "gristmill",
      dependencies: [
        "GristCore", "GristKernels", "GristFormat", "GristTemplates", "GristSources", "GristImaging", "GristModel",
        "GristConversion", "GristVerification", "GristEvaluation", "GristAlignment", "GristServing", "GristSigning",
        "CGristProgram",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),

    // What tests share: fixtures and temporary folders.
    .target(name: "TestSupport", dependencies: ["GristCore", "GristSources"], path: "Tests/TestSupport"),
    .testTarget(name: "GristCoreTests", dependencies: ["GristCore", "TestSupport"]),
    .testTarget(
      name: "GristKernelsTests", dependencies: ["GristCore", "GristKernels", "CGristKernels", "TestSupport"]),
    .testTarget(name: "GristFormatTests", dependencies: ["GristCore", "GristFormat", "TestSupport"]),
    .testTarget(name: "GristTemplatesTests", dependencies: ["GristCore", "GristTemplates", "TestSupport"]),
    .testTarget(
      name: "GristSourcesTests",
      dependencies: ["GristCore", "GristFormat", "GristTemplates", "GristSources", "TestSupport"]),
    .testTarget(
      name: "GristImagingTests",
      dependencies: [
        "GristCore", "GristSources", "GristImaging", "TestSupport",
      ]),
    .testTarget(
      name: "GristModelTests",
      dependencies: [
        "GristCore", "GristKernels", "GristFormat", "GristSources", "GristImaging", "GristModel", "GristConversion",
        "TestSupport",
      ]),
    .testTarget(
      name: "GristConversionTests",
      dependencies: [
        "GristCore", "GristKernels", "GristFormat", "GristSources", "GristImaging", "GristModel", "GristConversion",
        "GristVerification", "TestSupport",
      ]),
    .testTarget(
      name: "GristVerificationTests",
      dependencies: [
        "GristCore", "GristKernels", "GristFormat", "GristSources", "GristImaging", "GristModel", "GristConversion",
        "GristVerification", "TestSupport",
      ]),
    .testTarget(
      name: "GristSigningTests",
      dependencies: [
        "GristCore", "GristFormat", "GristSources", "GristConversion", "GristKernels", "GristSigning", "TestSupport",
      ]),
    .testTarget(
      name: "GristEvaluationTests",
      dependencies: [
        "GristCore", "GristSources", "GristModel", "GristConversion", "GristKernels", "GristEvaluation", "TestSupport",
      ]),
    .testTarget(
      name: "GristAlignmentTests",
      dependencies: [
        "GristCore", "GristKernels", "GristSources", "GristModel", "GristConversion", "GristVerification",
        "GristEvaluation", "GristAlignment", "TestSupport",
      ]),
    .testTarget(
      name: "GristServingTests",
      dependencies: [
        "GristCore", "GristSources", "GristModel", "GristConversion", "GristKernels", "GristServing", "TestSupport",
        .product(name: "MetricsTestKit", package: "swift-metrics"),
      ]),
    .testTarget(
      name: "CommandTests", dependencies: ["GristCore", "GristSources", "TestSupport", "gristmill"],
      exclude: ["Snapshots"]),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c17,
  cxxLanguageStandard: .cxx17
)
