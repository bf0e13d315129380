"""Files of one's own arrays, and folders as TFDS prepares them."""

import json

import cv2
import numpy as np


def write_npz(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


def write_tfds(root, name, version, splits):
    """Write a data set of images and labels as TFDS prepares it in the format array_record.

    Args:
      root: TFDS's folder.
      name: of the data set.
      version: of the data set.
      splits: {name: (images, labels)}.
    """
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.proto import tf_example_pb2

    folder = root / name / version
    folder.mkdir(parents=True)
    infos = []
    for split, (images, labels) in splits.items():
        file = folder / f"{name}-{split}.array_record-00000-of-00001"
        writer = ArrayRecordWriter(str(file), "group_size:1")
        for image, label in zip(images, labels, strict=True):
            example = tf_example_pb2.Example()
            features = example.features.feature
            features["image"].bytes_list.value.append(png_of(image))
            features["label"].int64_list.value.append(int(label))
            writer.write(example.SerializeToString())
        writer.close()
        size = str(file.stat().st_size)
        info = {"name": split, "numBytes": size, "shardLengths": [str(len(images))]}
        info["filepathTemplate"] = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
        infos.append(info)
    info = {"name": name, "version": version, "fileFormat": "array_record", "splits": infos}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    (folder / "features.json").write_text(json.dumps(_features(images.shape[1:])))
    return str(root)


def png_of(image):
    """Return an image, (height, width, 1 or red, green, blue), as the bytes of a PNG file."""
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def _features(shape):
    package = "tensorflow_datasets.core.features"
    image = {"shape": {"dimensions": [str(n) for n in shape]}, "dtype": "uint8"}
    image |= {"encodingFormat": "png"}
    features = {
        "image": {"pythonClassName": f"{package}.image_feature.Image", "image": image},
        "label": {
            "pythonClassName": f"{package}.class_label_feature.ClassLabel",
            "classLabel": {"numClasses": "2000"},
        },
    }
    whole = f"{package}.features_dict.FeaturesDict"
    return {"pythonClassName": whole, "featuresDict": {"features": features}}
