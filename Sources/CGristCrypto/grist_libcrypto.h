#ifndef GRIST_LIBCRYPTO_H
#define GRIST_LIBCRYPTO_H

// libcrypto, loaded when it is first needed: a program that neither hashes nor signs does not pay for it.

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#define GRIST_LIBCRYPTO_FUNCTIONS(F)                                                                                   \
  F(BIO_ctrl) F(BIO_free) F(BIO_new) F(BIO_new_mem_buf) F(BIO_s_mem) F(CRYPTO_free) F(ERR_clear_error)                 \
  F(EVP_DigestFinal_ex) F(EVP_DigestInit_ex) F(EVP_DigestSign) F(EVP_DigestSignInit) F(EVP_DigestUpdate)               \
  F(EVP_DigestVerify) F(EVP_DigestVerifyInit) F(EVP_MD_CTX_copy_ex) F(EVP_MD_CTX_free) F(EVP_MD_CTX_new)               \
  F(EVP_PKEY_free) F(EVP_PKEY_get_base_id) F(EVP_PKEY_get_utf8_string_param) F(EVP_sha256) F(EVP_sha384)               \
  F(EVP_sha512) F(OPENSSL_sk_new_null) F(OPENSSL_sk_pop_free) F(OPENSSL_sk_push) F(PEM_read_bio_PUBKEY)                \
  F(PEM_read_bio_PrivateKey) F(PEM_read_bio_X509) F(PEM_write_bio_PUBKEY) F(X509_STORE_CTX_free)                       \
  F(X509_STORE_CTX_init) F(X509_STORE_CTX_new) F(X509_STORE_add_cert) F(X509_STORE_free) F(X509_STORE_new)             \
  F(X509_check_private_key) F(X509_free) F(X509_get0_pubkey) F(X509_get_extended_key_usage) F(X509_get_key_usage)      \
  F(X509_verify_cert) F(d2i_X509) F(i2d_X509)

#define GRIST_LIBCRYPTO_MEMBER(name) __typeof__(name) *p_##name;
struct grist_libcrypto {
  GRIST_LIBCRYPTO_FUNCTIONS(GRIST_LIBCRYPTO_MEMBER)
};
#undef GRIST_LIBCRYPTO_MEMBER

// Its functions; NULL where there is no libcrypto 3.
const struct grist_libcrypto *grist_libcrypto(void);

#endif
