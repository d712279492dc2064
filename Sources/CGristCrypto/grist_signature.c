#include "grist_signature.h"

#include <limits.h>
#include <string.h>

#include "grist_libcrypto.h"

// Every function that is called from outside asks first whether it is there.
#define CRYPTO(name) (grist_libcrypto()->p_##name)

// Of a key that is protected by a password nothing is asked.
static int no_password(char *buffer, int size, int writes, void *context) {
  (void)buffer, (void)size, (void)writes, (void)context;
  return -1;
}

static BIO *reader(const uint8_t *bytes, size_t count) {
  return count > INT_MAX ? NULL : CRYPTO(BIO_new_mem_buf)(bytes, (int)count);
}

static EVP_PKEY *read_key(const uint8_t *bytes, size_t count, int is_private) {
  BIO *input = reader(bytes, count);
  if (!input) return NULL;
  EVP_PKEY *key = is_private ? CRYPTO(PEM_read_bio_PrivateKey)(input, NULL, no_password, NULL)
                             : CRYPTO(PEM_read_bio_PUBKEY)(input, NULL, no_password, NULL);
  CRYPTO(BIO_free)(input);
  CRYPTO(ERR_clear_error)();
  return key;
}

// The hash that goes with a key's curve; NULL for a key of none of the three.
static const EVP_MD *hash_of(const EVP_PKEY *key) {
  char name[64];
  size_t length = 0;
  if (CRYPTO(EVP_PKEY_get_base_id)(key) != EVP_PKEY_EC ||
      CRYPTO(EVP_PKEY_get_utf8_string_param)(key, OSSL_PKEY_PARAM_GROUP_NAME, name, sizeof name, &length) != 1)
    return NULL;
  if (!strcmp(name, "prime256v1") || !strcmp(name, "P-256")) return CRYPTO(EVP_sha256)();
  if (!strcmp(name, "secp384r1") || !strcmp(name, "P-384")) return CRYPTO(EVP_sha384)();
  if (!strcmp(name, "secp521r1") || !strcmp(name, "P-521")) return CRYPTO(EVP_sha512)();
  return NULL;
}

static grist_signature_result write_public(EVP_PKEY *key, uint8_t *out, size_t *count) {
  BIO *output = CRYPTO(BIO_new)(CRYPTO(BIO_s_mem)());
  grist_signature_result result = grist_signature_failed;
  if (output && CRYPTO(PEM_write_bio_PUBKEY)(output, key) == 1) {
    char *text;
    long length = CRYPTO(BIO_ctrl)(output, BIO_CTRL_INFO, 0, (char *)&text);
    if (length > 0 && (size_t)length <= *count) {
      memcpy(out, text, (size_t)length);
      *count = (size_t)length;
      result = grist_signature_ok;
    }
  }
  CRYPTO(BIO_free)(output);
  return result;
}

grist_signature_result grist_signature_sign(const uint8_t *key_text, size_t key_bytes, const uint8_t *data,
                                            size_t data_bytes, uint8_t *signature, size_t *count) {
  if (!grist_libcrypto()) return grist_signature_failed;
  EVP_PKEY *key = read_key(key_text, key_bytes, 1);
  if (!key) return grist_signature_no_key;
  grist_signature_result result = grist_signature_other_key;
  const EVP_MD *hash = hash_of(key);
  if (hash) {
    EVP_MD_CTX *context = CRYPTO(EVP_MD_CTX_new)();
    result = context && CRYPTO(EVP_DigestSignInit)(context, NULL, hash, NULL, key) == 1 &&
                     CRYPTO(EVP_DigestSign)(context, signature, count, data, data_bytes) == 1
                 ? grist_signature_ok
                 : grist_signature_failed;
    CRYPTO(EVP_MD_CTX_free)(context);
  }
  CRYPTO(EVP_PKEY_free)(key);
  return result;
}

grist_signature_result grist_signature_public_key(const uint8_t *key_text, size_t key_bytes, int is_private,
                                                  uint8_t *out, size_t *count) {
  if (!grist_libcrypto()) return grist_signature_failed;
  EVP_PKEY *key = read_key(key_text, key_bytes, is_private);
  if (!key) return grist_signature_no_key;
  grist_signature_result result = hash_of(key) ? write_public(key, out, count) : grist_signature_other_key;
  CRYPTO(EVP_PKEY_free)(key);
  return result;
}

grist_signature_result grist_signature_verify(const uint8_t *key_text, size_t key_bytes, const uint8_t *data,
                                              size_t data_bytes, const uint8_t *signature, size_t signature_bytes,
                                              int sha256) {
  if (!grist_libcrypto()) return grist_signature_failed;
  EVP_PKEY *key = read_key(key_text, key_bytes, 0);
  if (!key) return grist_signature_no_key;
  grist_signature_result result = grist_signature_other_key;
  const EVP_MD *hash = hash_of(key);
  if (hash) {
    EVP_MD_CTX *context = CRYPTO(EVP_MD_CTX_new)();
    result = context && CRYPTO(EVP_DigestVerifyInit)(context, NULL, sha256 ? CRYPTO(EVP_sha256)() : hash, NULL, key) == 1 &&
                     CRYPTO(EVP_DigestVerify)(context, signature, signature_bytes, data, data_bytes) == 1
                 ? grist_signature_ok
                 : grist_signature_wrong;
    CRYPTO(EVP_MD_CTX_free)(context);
    CRYPTO(ERR_clear_error)();
  }
  CRYPTO(EVP_PKEY_free)(key);
  return result;
}

grist_signature_result grist_signature_certificates(const uint8_t *text, size_t text_bytes, void *context,
                                                    void (*found)(void *, const uint8_t *, size_t)) {
  if (!grist_libcrypto()) return grist_signature_failed;
  BIO *input = reader(text, text_bytes);
  if (!input) return grist_signature_failed;
  int count = 0;
  X509 *certificate;
  while ((certificate = CRYPTO(PEM_read_bio_X509)(input, NULL, no_password, NULL))) {
    uint8_t *der = NULL;
    int length = CRYPTO(i2d_X509)(certificate, &der);
    CRYPTO(X509_free)(certificate);
    if (length > 0) found(context, der, (size_t)length), count++;
    CRYPTO(CRYPTO_free)(der, __FILE__, __LINE__);
  }
  CRYPTO(BIO_free)(input);
  CRYPTO(ERR_clear_error)();
  return count ? grist_signature_ok : grist_signature_no_certificate;
}

grist_signature_result grist_signature_belongs(const uint8_t *der, size_t der_bytes, const uint8_t *key_text,
                                               size_t key_bytes) {
  if (!grist_libcrypto()) return grist_signature_failed;
  EVP_PKEY *key = read_key(key_text, key_bytes, 1);
  if (!key) return grist_signature_no_key;
  X509 *certificate = der_bytes > LONG_MAX ? NULL : CRYPTO(d2i_X509)(NULL, &der, (long)der_bytes);
  grist_signature_result result = !certificate                                   ? grist_signature_no_certificate
                                  : CRYPTO(X509_check_private_key)(certificate, key) == 1 ? grist_signature_ok
                                                                                  : grist_signature_mismatch;
  CRYPTO(X509_free)(certificate);
  CRYPTO(EVP_PKEY_free)(key);
  CRYPTO(ERR_clear_error)();
  return result;
}

static void free_certificate(void *certificate) { CRYPTO(X509_free)(certificate); }

static int add_trusted(X509_STORE *store, const uint8_t *text, size_t count) {
  BIO *input = reader(text, count);
  int found = 0;
  X509 *certificate;
  while (input && (certificate = CRYPTO(PEM_read_bio_X509)(input, NULL, no_password, NULL))) {
    found += CRYPTO(X509_STORE_add_cert)(store, certificate) == 1;
    CRYPTO(X509_free)(certificate);
  }
  CRYPTO(BIO_free)(input);
  CRYPTO(ERR_clear_error)();
  return found;
}

// Digital signatures or code: what key usage says, or else what extended key usage says.
static int is_for_signatures(X509 *certificate) {
  uint32_t usage = CRYPTO(X509_get_key_usage)(certificate), extended = CRYPTO(X509_get_extended_key_usage)(certificate);
  return (usage != UINT32_MAX && usage & KU_DIGITAL_SIGNATURE) || (extended != UINT32_MAX && extended & XKU_CODE_SIGN);
}

grist_signature_result grist_signature_trust(const uint8_t *chain, const size_t *lengths, size_t count,
                                             const uint8_t *trusted, size_t trusted_bytes, uint8_t *key_text,
                                             size_t *key_bytes) {
  if (!grist_libcrypto()) return grist_signature_failed;
  grist_signature_result result = grist_signature_failed;
  OPENSSL_STACK *others = CRYPTO(OPENSSL_sk_new_null)();
  X509_STORE *store = CRYPTO(X509_STORE_new)();
  X509_STORE_CTX *context = CRYPTO(X509_STORE_CTX_new)();
  X509 *leaf = NULL;
  if (!others || !store || !context) goto done;
  for (size_t index = 0; index < count; chain += lengths[index], index++) {
    const uint8_t *der = chain;
    X509 *certificate = lengths[index] > LONG_MAX ? NULL : CRYPTO(d2i_X509)(NULL, &der, (long)lengths[index]);
    if (!certificate) {
      result = grist_signature_no_certificate;
      goto done;
    }
    if (index == 0) {
      leaf = certificate;
    } else if (CRYPTO(OPENSSL_sk_push)(others, certificate) <= 0) {
      CRYPTO(X509_free)(certificate);
      goto done;
    }
  }
  if (!leaf || !add_trusted(store, trusted, trusted_bytes)) {
    result = grist_signature_no_certificate;
    goto done;
  }
  if (CRYPTO(X509_STORE_CTX_init)(context, store, leaf, (STACK_OF(X509) *)others) != 1) goto done;
  if (CRYPTO(X509_verify_cert)(context) != 1) {
    result = grist_signature_untrusted;
    goto done;
  }
  if (!is_for_signatures(leaf)) {
    result = grist_signature_other_usage;
    goto done;
  }
  EVP_PKEY *key = CRYPTO(X509_get0_pubkey)(leaf);
  result = key && hash_of(key) ? write_public(key, key_text, key_bytes) : grist_signature_other_key;
done:
  CRYPTO(X509_free)(leaf);
  if (others) CRYPTO(OPENSSL_sk_pop_free)(others, free_certificate);
  CRYPTO(X509_STORE_CTX_free)(context);
  CRYPTO(X509_STORE_free)(store);
  CRYPTO(ERR_clear_error)();
  return result;
}
