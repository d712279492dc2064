#ifndef GRIST_SIGNATURE_H
#define GRIST_SIGNATURE_H

// ECDSA signatures and X.509 chains by libcrypto, for P-256, P-384 and P-521, each with the SHA-2 of its size.
// Text is PEM. Functions give 0, or a word for what is wrong.

#include <stddef.h>
#include <stdint.h>

typedef enum {
  grist_signature_ok = 0,
  grist_signature_no_key,          // no PEM of the kind that is asked for
  grist_signature_other_key,       // not a key of the three curves
  grist_signature_no_certificate,  // no certificate
  grist_signature_untrusted,       // the chain leads to no trusted certificate, or one of it is not valid now
  grist_signature_other_usage,     // a certificate that is not meant for signatures
  grist_signature_wrong,           // the signature is not of these bytes by this key
  grist_signature_mismatch,        // certificate and key do not belong together
  grist_signature_failed,          // libcrypto failed
} grist_signature_result;

// The longest signature, and the longest public key in PEM.
enum { GRIST_SIGNATURE_BYTES = 256, GRIST_PUBLIC_KEY_BYTES = 1024 };

// Signs bytes with a private key. `count` takes the room and gives the length.
grist_signature_result grist_signature_sign(const uint8_t *key, size_t key_bytes, const uint8_t *data,
                                            size_t data_bytes, uint8_t *signature, size_t *count);

// The public key of a private key, or a public key again, in PEM as libcrypto writes it.
grist_signature_result grist_signature_public_key(const uint8_t *key, size_t key_bytes, int is_private, uint8_t *out,
                                                  size_t *count);

// Whether a signature is of these bytes, by a public key. `sha256` takes that whatever the key's size.
grist_signature_result grist_signature_verify(const uint8_t *key, size_t key_bytes, const uint8_t *data,
                                              size_t data_bytes, const uint8_t *signature, size_t signature_bytes,
                                              int sha256);

// Calls `found` with the DER of every certificate of some PEM, in their order.
grist_signature_result grist_signature_certificates(const uint8_t *text, size_t text_bytes, void *context,
                                                    void (*found)(void *context, const uint8_t *der, size_t count));

// Whether a certificate, in DER, is of a private key.
grist_signature_result grist_signature_belongs(const uint8_t *der, size_t der_bytes, const uint8_t *key,
                                               size_t key_bytes);

// Whether a certificate leads by others to one that is trusted, all of them valid now, and is meant for signatures;
// its public key in PEM. `lengths` are those of the certificates' DER, which lie one behind the other in `chain`, the
// signing one first. `trusted` is PEM.
grist_signature_result grist_signature_trust(const uint8_t *chain, const size_t *lengths, size_t count,
                                             const uint8_t *trusted, size_t trusted_bytes, uint8_t *key,
                                             size_t *key_bytes);

#endif
