"""Tiny random judges of the real classes, saved in the formats that published and embedded judges have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertTokenizer,
    BlipConfig,
    BlipForQuestionAnswering,
    BlipImageProcessorPil,
    BlipProcessor,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    DFineConfig,
    DFineForObjectDetection,
    DPTConfig,
    DPTForDepthEstimation,
    DPTImageProcessorPil,
    GLPNConfig,
    GLPNForDepthEstimation,
    GLPNImageProcessorPil,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessorPil,
    GroundingDinoProcessor,
    HGNetV2Config,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessorPil,
    Owlv2Processor,
    PreTrainedTokenizerFast,
    ResNetConfig,
    ResNetForImageClassification,
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrImageProcessorPil,
    RTDetrResNetConfig,
    SiglipVisionConfig,
    SiglipVisionModel,
    SwinConfig,
    VisionTextDualEncoderModel,
)

from tests.tiny import tiny_tokenizer

LABELS = ("dog", "cat", "teddy bear")
READINGS = ("noun:dog", "noun:cat", "colour:red", "colour:blue", "texture:plain", "texture:striped", "shape:round")


def _detector_options(channels: tuple[int, int]) -> dict[str, Any]:
    return {
        "freeze_backbone_batch_norms": False,
        "id2label": dict(enumerate(LABELS)),
        "label2id": {label: index for index, label in enumerate(LABELS)},
        "d_model": 32,
        "encoder_hidden_dim": 32,
        "encoder_in_channels": list(channels),
        "feat_strides": [8, 16],
        "encoder_ffn_dim": 32,
        "encoder_attention_heads": 2,
        "encode_proj_layers": [1],
        "hidden_expansion": 0.5,
        "decoder_in_channels": [32, 32],
        "decoder_ffn_dim": 32,
        "num_feature_levels": 2,
        "decoder_layers": 2,
        "decoder_attention_heads": 2,
        "num_queries": 10,
        "num_denoising": 4,
        "anchor_image_size": None,
    }


def rt_detr() -> RTDetrForObjectDetection:
    """Judge A's class, on its own small ResNet."""
    torch.manual_seed(0)
    backbone = RTDetrResNetConfig(  # type: ignore[call-arg]  # out_features is read from the keyword rest
        embedding_size=8,
        hidden_sizes=[8, 12, 16],
        depths=[1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3"],
    )
    return RTDetrForObjectDetection(RTDetrConfig(backbone_config=backbone, **_detector_options((12, 16))))


def d_fine() -> DFineForObjectDetection:
    """Judge B's class, on a small HGNet."""
    torch.manual_seed(0)
    backbone = HGNetV2Config(  # type: ignore[call-arg]  # out_indices is read from the keyword rest
        stem_channels=[3, 8, 8],
        stage_in_channels=[8, 8, 12, 16],
        stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[8, 12, 16, 16],
        stage_num_blocks=[1, 1, 1, 1],
        stage_numb_of_layers=[1, 1, 1, 1],
        stage_kernel_size=[3, 3, 3, 3],
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 12, 16, 16],
        embedding_size=8,
        out_indices=[2, 3],
    )
    options = _detector_options((12, 16)) | {"depth_mult": 0.34, "lqe_hidden_dim": 8}
    return DFineForObjectDetection(DFineConfig(backbone_config=backbone, **options))


def save_detector(model: Any, path: Path) -> Path:
    """A closed-vocabulary detector with the embedded judges' image processor: nothing but ÷ 255."""
    model.save_pretrained(path)
    size = {"height": 128, "width": 128}
    RTDetrImageProcessorPil(do_resize=False, do_pad=False, do_normalize=False, size=size).save_pretrained(path)
    return path


def save_grounding_dino(path: Path) -> Path:
    """GroundingDINO with a one-layer Swin and BERT of a dozen words."""
    torch.manual_seed(0)
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        ".",
        "a",
        "an",
        "?",
        "cat",
        "dog",
        "teddy",
        "bear",
        "app",
        "##le",
    ]
    tokenizer = BertTokenizer(vocab={word: index for index, word in enumerate(words)}, do_lower_case=True)
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(  # type: ignore[call-arg]  # out_indices again
            image_size=64,
            embed_dim=8,
            depths=[1, 1, 1, 1],
            num_heads=[1, 1, 2, 2],
            window_size=2,
            out_indices=[2, 3, 4],
        ),
        text_config=BertConfig(
            vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
        ),
        d_model=32,
        num_queries=12,
        encoder_layers=1,
        encoder_ffn_dim=16,
        encoder_attention_heads=2,
        decoder_layers=2,
        decoder_ffn_dim=16,
        decoder_attention_heads=2,
        num_feature_levels=3,
        max_text_len=32,
    )
    GroundingDinoForObjectDetection(config).save_pretrained(path)
    images = GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 128})
    GroundingDinoProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(path)
    return path


def _text_options(tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


_VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 64,
    "patch_size": 16,
}


def save_owlv2(path: Path) -> Path:
    """OWLv2 with one-layer towers; 16 tokens a query, as published."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = 16
    text = _text_options(tokenizer) | {"max_position_embeddings": 16}
    Owlv2ForObjectDetection(Owlv2Config(text_config=text, vision_config=_VISION, projection_dim=16)).save_pretrained(
        path
    )
    images = Owlv2ImageProcessorPil(size={"height": 64, "width": 64})
    Owlv2Processor(image_processor=images, tokenizer=tokenizer).save_pretrained(path)
    return path


def save_dual_encoder(path: Path) -> Path:
    """The embedded CLIP's format: a SigLIP image tower and a CLIP text tower, without an image processor."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    model = VisionTextDualEncoderModel(
        vision_model=SiglipVisionModel(SiglipVisionConfig(**_VISION)),
        text_model=CLIPTextModel(CLIPTextConfig(**_text_options(tokenizer))),
    )
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def save_clip(path: Path) -> Path:
    """A hub CLIP's format."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    CLIPModel(
        CLIPConfig(text_config=_text_options(tokenizer), vision_config=_VISION, projection_dim=16)
    ).save_pretrained(path)
    tokenizer.save_pretrained(path)
    CLIPImageProcessorPil(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}).save_pretrained(path)
    return path


def save_reader(path: Path) -> Path:
    """The attribute reader's format: a stock classifier whose labels are "group:value"."""
    torch.manual_seed(0)
    config = ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8],
        depths=[1, 1],
        layer_type="basic",
        id2label=dict(enumerate(READINGS)),
        label2id={label: index for index, label in enumerate(READINGS)},
    )
    ResNetForImageClassification(config).save_pretrained(path)
    return path


def save_blip(path: Path, words: tuple[str, ...] = ("yes", "no", "a", "red", "blue", "dog", "bench", "?")) -> Path:
    """BLIP for questions: a BERT tokenizer without [DEC] and [ENC], which only the network's vocabulary has.

    Weights are drawn wide, so that answers differ.
    """
    torch.manual_seed(0)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(vocabulary)}, do_lower_case=True)
    text = {
        "vocab_size": len(vocabulary) + 2,
        "bos_token_id": len(vocabulary),
        "pad_token_id": 0,
        "sep_token_id": 3,
        "hidden_size": 16,
        "encoder_hidden_size": 16,
        "intermediate_size": 16,
        "projection_dim": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 40,
        "initializer_range": 0.7,
    }
    vision = _VISION | {"image_size": 32, "initializer_range": 0.7}
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=16)
    BlipForQuestionAnswering(config).save_pretrained(path)
    images = BlipImageProcessorPil(size={"height": 32, "width": 32})
    BlipProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(path)
    return path


def save_dpt(path: Path) -> Path:
    """DPT as MiDaS trained it: inverse depth."""
    torch.manual_seed(0)
    config = DPTConfig(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        readout_type="project",
        is_hybrid=False,
    )
    DPTForDepthEstimation(config).save_pretrained(path)
    DPTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(path)
    return path


def save_glpn(path: Path) -> Path:
    """GLPN: depth in metres."""
    torch.manual_seed(0)
    config = GLPNConfig(
        num_encoder_blocks=4,
        depths=[1, 1, 1, 1],
        sr_ratios=[8, 4, 2, 1],
        hidden_sizes=[8, 8, 8, 8],
        num_attention_heads=[1, 1, 1, 1],
        decoder_hidden_size=8,
    )
    GLPNForDepthEstimation(config).save_pretrained(path)
    GLPNImageProcessorPil().save_pretrained(path)
    return path


def save_llava(path: Path, *, chat: bool = True) -> Path:
    """LLaVA with one-layer towers and a byte-level tokenizer; weights are drawn wide, so that answers differ."""
    torch.manual_seed(0)
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<pad>", "<image>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        ["Yes", "No"], trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet)
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    text = {
        "model_type": "llama",
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "initializer_range": 1.0,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = _VISION | {"model_type": "clip_vision_model", "image_size": 32, "projection_dim": 16}
    config = LlavaConfig(
        vision_config=vision | {"initializer_range": 1.0},
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        image_seq_length=4,
    )
    LlavaForConditionalGeneration(config).save_pretrained(path)
    template = (
        "{% for turn in messages %}{% for part in turn['content'] %}"
        "{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}{% endfor %}"
    )
    LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        tokenizer=tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template if chat else None,
    ).save_pretrained(path)
    return path
