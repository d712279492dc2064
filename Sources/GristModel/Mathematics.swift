internal import Glibc

// The C library's functions under names that do not collide with tables called cos and sin.
func cosine(_ angle: Float) -> Float { cosf(angle) }
func sine(_ angle: Float) -> Float { sinf(angle) }
func exp(_ x: Double) -> Double { Glibc.exp(x) }
