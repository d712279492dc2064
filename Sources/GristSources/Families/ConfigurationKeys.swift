import GristCore

/// What every key of a configuration file is to us. A key that nobody looked at could change what the model computes,
/// so one that is on no list is refused by name. `Docs/configuration.md` shows the lists.
///
/// Made from transformers' LlamaConfig, CLIPConfig, CLIPVisionConfig, LlavaConfig and LlavaNextConfig (4.37, 4.57 and
/// 5.24) and from what LLaVA's, LLaVA-NeXT's and AVG-LLaVA's training code writes.
public struct ConfigurationKeys: Sendable {
  /// Read, and done as it says; a value that this version cannot do is refused where it is read.
  public let honoured: Set<String>
  /// Without any effect on what is computed from a prompt.
  public let harmless: Set<String>
  /// Would change what is computed, in a way that this version does not: accepted only with a value that changes
  /// nothing.
  public let refused: [String: [JSONValue]]

  /// Keys that transformers and its trainers write into every configuration.
  private static let bookkeeping: Set<String> = [
    "_attn_implementation_autoset", "_commit_hash", "_from_auto", "_from_model_config", "_name_or_path", "auto_map",
    "add_cross_attention", "attention_dropout", "attn_implementation", "bad_words_ids", "begin_suppress_tokens",
    "bos_token_id", "chunk_size_feed_forward", "cross_attention_hidden_size", "decoder_start_token_id",
    "diversity_penalty", "do_sample", "dtype", "early_stopping", "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty", "finetuning_task", "forced_bos_token_id", "forced_eos_token_id", "id2label",
    "initializer_factor", "initializer_range", "is_decoder", "is_encoder_decoder", "label2id", "length_penalty",
    "max_length", "min_length", "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_return_sequences",
    "output_attentions", "output_hidden_states", "output_scores", "pad_token_id", "prefix", "pretraining_tp",
    "problem_type", "pruned_heads", "remove_invalid_values", "repetition_penalty", "return_dict",
    "return_dict_in_generate", "sep_token_id", "suppress_tokens", "task_specific_params", "temperature",
    "tf_legacy_loss", "tie_encoder_decoder", "tokenizer_class", "top_k", "top_p", "torch_dtype", "torchscript",
    "transformers.js_config", "transformers_version", "typical_p", "use_bfloat16", "use_cache",
  ]

  /// Of a checkpoint's `config.json`.
  public static let model = ConfigurationKeys(
    honoured: [
      "architectures", "model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
      "num_attention_heads", "num_key_value_heads", "head_dim", "hidden_act", "max_position_embeddings", "rms_norm_eps",
      "rope_theta", "rope_scaling", "rope_parameters", "attention_bias", "mlp_bias", "tie_word_embeddings",
      "eos_token_id", "tokenizer_model_max_length", "mm_vision_tower", "vision_tower", "mm_vision_select_layer",
      "mm_vision_select_feature", "mm_projector_type", "mm_patch_merge_type", "image_aspect_ratio",
      "image_grid_pinpoints", "mm_use_im_start_end", "mm_use_im_patch_token", "vis_token_granularity", "router_select",
      "filtered_text_num",
    ],
    harmless: bookkeeping.union([
      "ce_loss_weight", "freeze_backbone", "freeze_mm_mlp_adapter", "freeze_mm_vision_resampler",
      // How LLaVA-NeXT lays out the frames of a video, and how it trains; of one picture neither says anything.
      "add_faster_video", "add_time_instruction", "delay_load", "faster_token_stride", "force_sample",
      "image_crop_resolution", "image_split_resolution", "is_llama_config", "margin", "max_sequence_length",
      "mm_hidden_size", "mm_newline_position", "mm_projector_lr", "mm_spatial_pool_mode",
      "mm_spatial_pool_out_channels", "mm_spatial_pool_stride", "pos_skipping_range", "mm_tunable_parts",
      "mm_vision_tower_lr", "pretrain_mm_mlp_adapter", "rank_loss_weight",
      "tokenizer_padding_side", "tune_mm_mlp_adapter", "tune_mm_vision_resampler", "tune_router",
      "unfreeze_mm_vision_tower", "use_mm_proj", "vision_tower_pretrained",
    ]),
    refused: [
      "quantization_config": [], "sliding_window": [], "layer_types": [], "partial_rotary_factor": [1],
      "mm_resampler_type": [], "mm_merger_type": [], "logit_scale": [1], "final_logit_softcapping": [],
      "attn_logit_softcapping": [], "residual_multiplier": [1], "embedding_multiplier": [1], "num_experts": [0],
      "num_local_experts": [0, 1], "use_sliding_window": [false], "rope_interleaved": [false],
      "use_pos_skipping": [false], "s2": [false],
    ])

  /// Of a checkpoint's `config.json` whose language model is a Mistral.
  public static let mistral = model.honouring("sliding_window")

  /// The same lists but for one key, which is honoured.
  private func honouring(_ key: String) -> ConfigurationKeys {
    ConfigurationKeys(
      honoured: honoured.union([key]), harmless: harmless, refused: refused.filter { $0.key != key })
  }

  /// Of the outer part of a `config.json` that transformers wrote for its own LLaVA and LLaVA-NeXT; what is nested is
  /// checked as ``model`` and ``tower``.
  public static let huggingFace = ConfigurationKeys(
    honoured: [
      "architectures", "model_type", "text_config", "vision_config", "image_grid_pinpoints",
      "multimodal_projector_bias", "projector_hidden_act", "vision_feature_layer", "vision_feature_select_strategy",
      "tie_word_embeddings", "eos_token_id",
    ],
    // How many places a prompt keeps for the picture, and by which token, is the text's business; here pictures go
    // where the text says.
    harmless: bookkeeping.union([
      "ignore_index", "image_seq_length", "image_token_id", "image_token_index", "use_image_newline_parameter",
      "vocab_size",
    ]),
    refused: ["quantization_config": [], "vision_aspect_ratio": []])

  /// Of a vision tower's `config.json`.
  public static let tower = ConfigurationKeys(
    honoured: [
      "architectures", "model_type", "vision_config", "hidden_size", "intermediate_size", "num_hidden_layers",
      "num_attention_heads", "num_channels", "image_size", "patch_size", "hidden_act", "layer_norm_eps",
    ],
    harmless: bookkeeping.union([
      "projection_dim", "text_config", "text_config_dict", "vision_config_dict", "logit_scale_init_value", "dropout",
      "eos_token_id", "tie_word_embeddings", "vocab_size",
    ]),
    refused: [
      "quantization_config": [], "attention_bias": [true], "vision_use_head": [], "interpolate_pos_encoding": [false],
    ])

  /// Of an image processor's settings (``ImageProcessor``), and of what feature extractors wrote before there were any.
  public static let imageProcessor = ConfigurationKeys(
    honoured: [
      "crop_size", "do_center_crop", "do_convert_rgb", "do_normalize", "do_pad", "do_rescale", "do_resize",
      "feature_extractor_type", "image_grid_pinpoints", "image_mean", "image_processor_type", "image_std", "resample",
      "rescale_factor", "size",
    ],
    // `aspect_ratio_setting` is written beside the processors of LLaVA-NeXT, which do not read it.
    harmless: [
      "_processor_class", "_valid_processor_keys", "aspect_ratio_setting", "auto_map", "data_format",
      "default_to_square", "device", "disable_grouping", "image_seq_length", "input_data_format", "model_input_names",
      "processor_class", "return_tensors", "use_fast",
    ],
    refused: ["crop_pct": [], "do_thumbnail": [false], "do_align_long_axis": [false], "pad_size": []])

  /// Of the outer part of `processor_config.json`. How many places a prompt keeps for a picture is the text's business;
  /// here a picture takes the rows that it has.
  public static let processor = ConfigurationKeys(
    honoured: ["chat_template", "image_processor", "vision_feature_select_strategy"],
    harmless: [
      "auto_map", "image_seq_length", "image_token", "num_additional_image_tokens", "patch_size", "processor_class",
      "tokenizer", "video_token",
    ],
    refused: [:])

  /// - Throws: 65 naming the first key that is refused or on no list, and not ignored on purpose. A key without a value
  ///   (null) says nothing.
  public func check(_ json: JSONReader, ignoring ignored: Set<String>) throws {
    for name in json.object.names where json.has(name) && !honoured.contains(name) && !harmless.contains(name) {
      if ignored.contains(name) { continue }
      let advice = "pass --ignore-key \(name) if it does not change what the model computes"
      guard let neutral = refused[name] else {
        throw GristError(
          .badData, "\"\(name)\" is a setting that this version does not know", file: json.file,
          found: json.value(name)?.text(), advice: advice)
      }
      if let value = json.value(name),
        neutral.contains(where: { $0 == value || $0.double == value.double && value.double != nil })
      {
        continue
      }
      throw GristError(
        .badData, "\"\(name)\" asks for what this version does not compute", file: json.file,
        found: json.value(name)?.text(), advice: advice)
    }
  }
}
