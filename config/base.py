"""All config fields with their defaults. Experiments override a few of them.

Durations are in epochs unless the name says otherwise. An epoch has
floor(training images / batch_size) steps.
"""

import ml_collections
from ml_collections import config_dict


def _add_epochs(block: ml_collections.ConfigDict) -> None:
    """Adds the fields that select the epochs in which a penalty is on."""
    block.first_epoch = 0  # on from this epoch, counted from 0
    block.last_epoch = config_dict.placeholder(int)  # off from this epoch on; unset: never
    block.every_n_epochs = 1  # on in every n-th epoch, starting with first_epoch


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()

    # Python modules or .py files that register parts of your own, imported first; (): none
    config.modules = ()
    config.init_seeds = 0  # seed of the initial parameters
    config.seeds = 0  # seed of data order, augmentation, dropout and all other randomness
    config.batch_size = 256  # images per step, over all devices and hosts
    config.total_epochs = 200  # length of training

    config.gradient_accumulation_steps = 1  # microbatches per device and step
    # Steps of one type that run as one program, between checkpoints and evaluations.
    config.steps_per_loop = 1
    config.compute_dtype = "float32"  # dtype of activations and products: float32 or bfloat16
    config.on_nonfinite = "stop"  # on a non-finite loss or gradient: stop, skip or rollback
    config.max_rollbacks = 3  # stop after this many rollbacks

    # Weights to start from: a run's folder, RUN/checkpoints/STEP or a .npz file; "": random.
    config.init_from = ""
    # Which weights of that run: raw, or ema, their moving averages; "": those of its best_metric.
    config.init_from_weights = ""
    # Decay of the moving average of parameters and batch statistics, such as 0.999; 0: off.
    config.ema_decay = 0.0

    config.base_lr = 0.1  # peak learning rate
    config.use_learning_rate_schedule = True  # False: constant base_lr
    config.lr_schedule_type = "cosine"  # cosine, constant, stepped, exponential or your own
    # for stepped: (epoch from 0, multiple of base_lr from the second step of that epoch on)
    config.lr_stepped_schedule = ((60, 0.2), (120, 0.04), (160, 0.008))
    config.warmup_epochs = 0  # linear warmup of the learning rate and of the penalty

    config.gradient_clipping = 5.0  # maximum global norm of the mixed gradient; 0: off
    config.l2_regularization = 1e-3  # l2 in loss + l2/2 * sum of squared parameters
    # True: L2 and AdamW's decay spare biases, norm scales, position embeddings, class tokens.
    config.no_weight_decay_on_bn = False
    # of an image: cross_entropy, binary_cross_entropy, focal or your own
    config.loss = "cross_entropy"
    config.focal_gamma = 2.0  # of loss focal: how little it listens to what is right; 0: all alike
    config.label_smoothing = 0.0  # probability mass spread evenly over all classes

    config.gr_warmup_strategy = "none"  # none, r, lambda or zero
    config.use_hybrid_training = False  # True: penalize each step with probability p
    config.hybrid_config = ml_collections.ConfigDict()
    config.hybrid_config.p = 0.0  # probability that a step is penalized
    config.hybrid_config.schedule = "constant"  # constant, or linear or cosine from p to p_end
    config.hybrid_config.p_end = 0.0  # probability at the end of training

    config.gnp = ml_collections.ConfigDict()
    config.gnp.r = 0.0  # radius of the perturbation; 0: standard training
    config.gnp.alpha = 0.0  # weight of the perturbed gradient; 1: SAM, 0: standard training
    config.gnp.shrink_r_below = 0.0  # training loss below which r shrinks in proportion; 0: none
    config.gnp.norm_perturbations = False  # True: mix the unit gradient (the reference's default)
    config.gnp.sync_perturbations = False  # True: same as perturbation_batch=0
    # Images per perturbation group; unset: each device's batch; 0: the global batch.
    config.gnp.perturbation_batch = config_dict.placeholder(int)
    # Warmup of the penalty; unset: warmup_epochs.
    config.gnp.warmup_epochs = config_dict.placeholder(float)
    config.gnp.warmup_steps = config_dict.placeholder(int)  # warmup of the penalty in steps
    config.gnp.mode = "two_pass"  # two_pass, or exact: the gradient of L + lambda |grad L|
    # gradient, adaptive (ASAM), random (a control), friendly (F-SAM), or of one pass: momentum,
    # momentum_descent (MSAM), stale
    config.gnp.ascent = "gradient"
    config.gnp.ascent_decay = 0.9  # of the moving average of friendly, momentum, momentum_descent
    config.gnp.ascent_steps = 1  # gradient steps to the perturbed parameters
    config.gnp.ascent_share = 1.0  # share of the images that those steps see
    config.gnp.perturb = ()  # patterns of the parameters that are perturbed; (): all
    config.gnp.surrogate_gap = 0.0  # GSAM's weight of the surrogate gap; 0: off
    # Which steps are penalized; the others are standard.
    config.gnp.when = ml_collections.ConfigDict()
    _add_epochs(config.gnp.when)
    config.gnp.when.every = 1  # every n-th step
    config.gnp.when.probability = config_dict.placeholder(float)  # each step with this probability
    config.gnp.when.steep = False  # True: where the gradient is long (AE-SAM); saves time on GPUs
    config.gnp.every = 1  # older name of gnp.when.every
    config.gnp.reuse = 0.0  # LookSAM's weight of the last penalty in between; 0: off
    config.gnp.bn_policy = "clean"  # pass that updates batch statistics: clean, perturbed or both

    config.regularization = ml_collections.ConfigDict()
    config.regularization.input_gradient = ml_collections.ConfigDict()
    # epsilon, in units of the model's input
    config.regularization.input_gradient.strength = 0.0
    config.regularization.input_gradient.form = "norm"  # norm, squared or adversarial
    config.regularization.activation_gradient = ml_collections.ConfigDict()
    config.regularization.activation_gradient.strength = 0.0  # weight of the squared gradients
    config.regularization.activation_gradient.activations = ()  # patterns that match module paths
    config.regularization.parameter_gradient = ml_collections.ConfigDict()
    config.regularization.parameter_gradient.strength = 0.0  # gamma in L + gamma/4 |grad L|^2
    config.regularization.weight = ml_collections.ConfigDict()
    config.regularization.weight.block_shape = (4, 4)  # rows and columns of a group of "blocks"
    config.regularization.weight.l1 = ml_collections.ConfigDict()
    # (pattern of parameter paths, strength); the first match counts
    config.regularization.weight.l1.strengths = ()
    _add_epochs(config.regularization.weight.l1)
    config.regularization.weight.l2 = ml_collections.ConfigDict()
    config.regularization.weight.l2.strengths = ()  # (pattern, strength of half the sum of squares)
    _add_epochs(config.regularization.weight.l2)
    config.regularization.weight.group_lasso = ml_collections.ConfigDict()
    # (pattern, strength, groups); groups: elements, layers, kernels, filters, channels, rows,
    # columns or blocks
    config.regularization.weight.group_lasso.strengths = ()
    # True: multiply each group's norm by the square root of its size
    config.regularization.weight.group_lasso.weighted_by_size = True
    _add_epochs(config.regularization.weight.group_lasso)
    config.regularization.weight.threshold = ml_collections.ConfigDict()
    # (pattern, limit, groups): groups with a root mean square of at most limit become zero
    config.regularization.weight.threshold.limits = ()
    # zeros are trainable again from this epoch on
    config.regularization.weight.threshold.release_epoch = config_dict.placeholder(int)
    _add_epochs(config.regularization.weight.threshold)

    config.opt = ml_collections.ConfigDict()
    # SGD, Momentum, RMSProp, Adam (alias AdamW), NAdamW, LAMB, Lion, Muon, Prodigy or your own
    config.opt.opt_type = "Momentum"
    config.opt.opt_params = ml_collections.ConfigDict()  # arguments, named as in optax
    # (pattern of parameter paths, factor of their learning rate), or with their weight decay as a
    # third; the first match counts
    config.opt.groups = ()
    config.opt.layer_decay = 1.0  # factor between the learning rates of two layers, such as 0.75
    config.opt.freeze = ()  # patterns of the parameters that are not trained; (): none

    config.distill = ml_collections.ConfigDict()
    config.distill.run = ""  # folder of a trained run whose outputs are learnt; empty: none
    config.distill.weight = 0.9  # of its outputs in the loss; the rest is that of the labels
    config.distill.temperature = 4.0  # at which the outputs of both models are compared

    config.model = ml_collections.ConfigDict()
    config.model.model_name = "WideResNet_28_10"  # a registered model
    config.model.model_params = ml_collections.ConfigDict()  # constructor arguments of the model
    config.model.model_module = ""  # older name of modules, for one of them
    config.use_additional_skip_connections_in_wrn = False  # over each group and over all

    config.dataset = ml_collections.ConfigDict()
    config.dataset.dataset_name = "cifar10"  # a data source, perhaps your own
    config.dataset.data_dir = ""  # folder or file of the images, or a data set's published files
    config.dataset.tfds_name = ""  # name in tensorflow-datasets of the set of "tfds", such as mnist
    config.dataset.fake_kind = "random"  # images of "fake": random or memorizable
    config.dataset.loader = "tfdata"  # tfdata, or device: all images stay on the accelerator
    config.dataset.on_bad_image = "error"  # unreadable image files: error or skip
    config.dataset.memory_limit_gb = 8.0  # images of your own up to this are kept in memory
    config.dataset.recursive = False  # True: also read the folders within a class folder
    # How images of your own become squares: crop (the centred square), squash or pad (black).
    config.dataset.resize = "crop"
    # True: filter photos of imagenet that are made smaller; False: the reference's aliased resize.
    config.dataset.antialias = True
    # none, crop, basic (crop and flip), autoaugment, aa-only, randaugment, trivialaugment or your
    # own; autoaugment, randaugment and trivialaugment include crop and flip
    config.dataset.image_level_augmentations = "basic"
    # none, mixup, cutmix, cutout, mixcut or your own
    config.dataset.batch_level_augmentations = "none"
    # padding before a crop, in pixels; 0: an eighth of the image size, rounded up
    config.dataset.crop_padding = 0
    config.dataset.randaug_num_layers = 2  # RandAugment: operations per image
    config.dataset.randaug_magnitude = 9  # RandAugment: strength of the operations, 0 to 10
    config.dataset.random_erasing = 0.0  # probability that a random box of an image is erased
    config.dataset.mixup_alpha = 1.0  # mixup and CutMix sample from Beta(alpha, alpha)
    config.dataset.imagenet_mixup_alpha = 0.0  # mixup's alpha on imagenet; above 0: on
    config.dataset.cutout_length = 16  # side of the square that cutout blanks, in pixels
    config.dataset.image_size = 32  # height and width of the model's input, in pixels
    config.dataset.num_classes = config_dict.placeholder(int)  # unset: that of the data
    # 1: grayscale, 3: RGB; unset: that of the data
    config.dataset.num_channels = config_dict.placeholder(int)
    # True: an image has any number of the classes, none included; needs loss=binary_cross_entropy
    config.dataset.multi_label = False
    # Weights of the classes in the training loss: balanced, or a list of numbers; unset: all 1.
    config.dataset.class_weights = config_dict.placeholder(object)
    # shuffled: each image once per epoch; balanced: each class as often as the others
    config.dataset.sampling = "shuffled"
    config.dataset.num_train_images = 0  # train on a fixed subset of n images; 0: all
    config.dataset.label_noise = 0.0  # share of the training labels that are replaced; 0: none
    # symmetric: by labels uniform over all classes; asymmetric: by that of a similar class
    config.dataset.label_noise_kind = "symmetric"
    config.dataset.label_noise_seed = 0  # seed of the noise alone; seeds does not change it
    # .npy or .csv file with a label for each training image; "": the labels of the data set
    config.dataset.train_labels = ""
    config.dataset.num_parallel_calls = 0  # threads of the input pipeline; 0: automatic
    config.tfds_dir = ""  # folder of tensorflow-datasets; "": its default
    config.imagenet_train_dir = ""  # training images, <synset>/*.JPEG
    config.imagenet_val_dir = ""  # validation images, <synset>/*.JPEG
    # False: evaluate on 10 % of each class, held out from the training set.
    config.use_test_set = True

    config.compute_top_5_error_rate = False  # True: also report the top-5 error rate
    config.evaluate_every_n_epochs = 1  # epochs between evaluations; the end is always evaluated
    config.save_ckpt_every_n_epochs = 200  # epochs between checkpoints; the end is always saved
    config.save_ckpt_every_n_steps = 0  # also save every n steps; 0: off
    config.save_ckpt_every_n_minutes = 0.0  # also save every n minutes; 0: off
    config.keep_latest_checkpoints = 2  # number of newest checkpoints to keep
    config.keep_best_checkpoints = 1  # number of best checkpoints to keep, by best_metric
    config.best_metric = "eval/error_rate"  # metric of the best checkpoint; lower is better
    config.early_stopping_patience = 0  # stop after n evaluations without improvement; 0: off
    config.interrupt_exit_code = 0  # exit code after a signal; 0: 128 + signal, 143 for SIGTERM
    config.retrain = False  # True: delete the run's folder and start over
    # Names of runs' folders: short (what differs from the config file), or reference (long paths).
    config.run_path = "short"
    config.write_config_to_json = True  # write config.json into the run's folder

    config.profile_steps = ""  # "first:last": steps to trace into the folder profile

    config.logging = ml_collections.ConfigDict()
    config.logging.tensorboard_logging_frequency = 1  # steps between records of metrics
    config.logging.layer_norms_every = 0  # steps between gradient norms by layer; 0: off
    # Warn of a loss this many robust standard deviations above the last 100 records; 0: off.
    config.logging.loss_spike_threshold = 6.0
    config.logging.wandb = False  # True: send metrics to Weights & Biases; needs the extra wandb
    config.logging.basic_logger_level = "debug"  # debug, info, warning or error
    config.logging.logger_sys_output = False  # True: also log to standard output

    return config
