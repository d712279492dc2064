// Everything that the toolkit's modules offer, behind one import.
@_exported import GristAlignment
@_exported import GristConversion
@_exported import GristCore
@_exported import GristEvaluation
@_exported import GristFormat
@_exported import GristImaging
@_exported import GristKernels
@_exported import GristModel
@_exported import GristServing
@_exported import GristSigning
@_exported import GristSources
@_exported import GristTemplates
@_exported import GristVerification
